// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/jsonscan"
)

// CheckJSON agrees with encoding/json on everything that is UTF-8 and not too deep.
func FuzzCheckJSON(f *testing.F) {
	for _, s := range []string{``, `[]`, ` [ 1 , -0.5e+7 ] `, `{"a":{"b":[null,true,false]}}`, `"\u00e9\"\\"`, `"\u00g0"`, `01`, `1.`, `-`, `[1,]`,
		"\"\x01\"", "\"\xff\"", `[[[[[[[[[[]]]]]]]]]]`, `{"a" :1,"b":2}`, `{a:1}`, `nul`, `"`, `[`, `{"a"`, `1e`, `[}`, `tru`, `[1 2]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := CheckJSON(b, 1000)
		if want := json.Valid(b) && utf8.Valid(b); (err == nil) != want && strings.Count(string(b), "[")+strings.Count(string(b), "{") < 1000 {
			t.Fatalf("%q: %v, want %v", b, err, want)
		}
		if err == nil && strings.TrimSpace(string(b)) != string(got) {
			t.Fatalf("%q became %q", b, got)
		}
	})
}

// Arguments are one array, not too deep; an empty one is nil.
func TestJSONArray(t *testing.T) {
	for in, want := range map[string]string{"": "", "[]": "", " [ \n] ": "", `[1] `: `[1]`, `[[]]`: `[[]]`} {
		if got, err := jsonArray([]byte(in), 3); err != nil || string(got) != want {
			t.Errorf("%q gave %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]error{" ": jsonscan.ErrJSON, "{}": errArray, "[": jsonscan.ErrJSON, "\xff": errUTF8} {
		if _, err := jsonArray([]byte(in), 3); !errors.Is(err, want) {
			t.Errorf("%q gave %v, want %v", in, err, want)
		}
	}
	if _, err := jsonArray([]byte("[[[[]]]]"), 3); err == nil || !strings.Contains(err.Error(), "max-json-depth") {
		t.Errorf("deep: %v", err)
	}
}

func BenchmarkJSONArray(b *testing.B) {
	in := []byte(`[{"message":"hello there, how are you","count":12345,"ok":true}]`)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := jsonArray(in, 512); err != nil {
			b.Fatal(err)
		}
	}
}
