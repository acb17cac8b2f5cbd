// SPDX-License-Identifier: Apache-2.0

package querystring_test

import (
	"encoding/json"
	"net/url"
	"os"
	"reflect"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/api/querystring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type vectors struct {
	Cases []struct {
		Name, Query string
		Values      url.Values
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/queries.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil || len(v.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(v.Cases), err)
	}
	return v
}

// Every pair of a query arrives, whatever stands in it.
func TestParse(t *testing.T) {
	for _, c := range readVectors(t).Cases {
		if got := querystring.Parse(c.Query); !reflect.DeepEqual(got, c.Values) {
			t.Errorf("%s: %q is %q, want %q", c.Name, c.Query, got, c.Values)
		}
	}
}

// What is no UTF-8 is kept for who checks it.
func TestUnescapeBytes(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "%": "%", "a+%FF%2": "a \xff%2", "\xff": "\xff"} {
		if got := querystring.UnescapeBytes(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// What url.ParseQuery understands means the same, and what comes out is UTF-8.
func FuzzParse(f *testing.F) {
	for _, c := range readVectors(f).Cases {
		f.Add(c.Query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := querystring.Parse(query)
		valid := true
		standard, err := url.ParseQuery(query)
		for key, values := range standard {
			for _, v := range values {
				valid = valid && utf8.ValidString(key) && utf8.ValidString(v)
			}
		}
		if err == nil && valid && !reflect.DeepEqual(got, standard) {
			t.Errorf("%q is %q, and %q for the standard library", query, got, standard)
		}
		for key, values := range got {
			for _, v := range values {
				if !utf8.ValidString(key) || !utf8.ValidString(v) {
					t.Errorf("%q gives %q: %q", query, key, v)
				}
			}
		}
	})
}
