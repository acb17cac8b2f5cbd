// SPDX-License-Identifier: Apache-2.0

package jsonscan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// The scanner must agree with the standard library on what is well-formed.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`null`, ` true `, `false`, `0`, `-0`, `01`, `1.`, `.1`, `1e5`, `1E+`, `-`, `"\u12aB"`, `"\u12g0"`, `"\ud800"`, `"\/\b\f\n\r\t"`, `"\a"`, `""`, `"`,
		`{}`, `{"a":1,"a":2}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1,}`, `[1,]`, `[,1]`, `[[[[]]]]`, `{"_placeholder":true,"num":0}`, "\"\x1f\"", "\"\x7f\u2028\"",
		`"12345678\"12345678"`, "\"1234567\x01\"", `nulll`, `tru`, "\ufeff[]", ``, ` `, `[1 2]`, `1 2`, "\v1", `"é€😀"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := Scanner{Data: data, Depth: 5000}
		got, want := s.Document(0) == nil, json.Valid(data)
		if got != want {
			t.Fatalf("%q: got %v, want %v", data, got, want)
		}
		if s.Depth != 5000 && got {
			t.Fatalf("%q: depth came back as %d", data, s.Depth)
		}
		s = Scanner{Data: data, Depth: 5000, Placeholders: true, Attachments: 1 << 30}
		if err := s.Document(0); want && err != nil && err != ErrPlaceholder {
			t.Fatalf("%q: refused with placeholders: %v", data, err)
		}
	})
}

// Nesting is bounded, and an object that stands for an attachment names one.
func TestScanner_Document(t *testing.T) {
	for text, want := range map[string]error{
		strings.Repeat("[", 5) + strings.Repeat("]", 5): nil,
		strings.Repeat("[", 6) + strings.Repeat("]", 6): ErrDepth,
		`{"a":{"a":{"a":{"a":{"a":{}}}}}}`:              ErrDepth,
		`{"_placeholder":true,"num":1}`:                 nil,
		`{"_placeholder":true,"num":2}`:                 ErrPlaceholder,
		`{"_placeholder":true,"num":-1}`:                ErrPlaceholder,
		`[{"x":{"num":0.5,"_placeholder":true}}]`:       ErrPlaceholder,
		`{"_placeholder":false,"num":9}`:                nil,
		`{"\u005fplaceholder":true,"num":9}`:            ErrPlaceholder,
		`[1`:                                            ErrJSON,
	} {
		s := Scanner{Data: []byte(text), Depth: 5, Placeholders: true, Attachments: 2}
		if err := s.Document(0); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}
