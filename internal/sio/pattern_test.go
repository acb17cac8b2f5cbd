// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"regexp"
	"strings"
	"testing"
)

// A pattern matches whole names or not at all, whatever the author left out or left open.
func TestPattern_Matches(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		yes, no []Namespace
	}{
		{`/dynamic-\d+`, []Namespace{"/dynamic-1", "/dynamic-12"}, []Namespace{"/dynamic-", "/dynamic-1x", "/x/dynamic-1", "x/dynamic-1", "/"}},
		{`^/a|/b$`, []Namespace{"/a", "/b"}, []Namespace{"/ab", "/b/a", "/aa"}},
		{`/a(b|bc)`, []Namespace{"/ab", "/abc"}, []Namespace{"/a", "/abcd"}},
		{`/a(b??)`, []Namespace{"/a", "/ab"}, []Namespace{"/abb"}},
		{`(?i)/chat`, []Namespace{"/chat", "/CHAT"}, []Namespace{"/chats"}},
		{`/\Qa.b`, []Namespace{"/a.b"}, []Namespace{"/axb", "/a.bz"}},
		{`(?m)^/a$`, []Namespace{"/a"}, []Namespace{"/a\n", "/a\n/b"}},
		{`/x{1,2}`, []Namespace{"/x", "/xx"}, []Namespace{"/xxx"}},
		{`/[^/]*`, []Namespace{"/", "/é", "/__proto__", "/\xff"}, []Namespace{"/a/b"}},
	} {
		p, err := CompilePattern(tc.pattern)
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
			continue
		}
		for _, ns := range tc.yes {
			if !p.Matches(ns) {
				t.Errorf("%s does not match %q", p, ns)
			}
		}
		for _, ns := range tc.no {
			if p.Matches(ns) {
				t.Errorf("%s matches %q", p, ns)
			}
		}
	}
}

// What is wrong with a pattern is said, and where.
func TestCompilePattern_Err(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                "1 to 255",
		"/" + strings.Repeat("x", 255):    "256 bytes",
		`/a)|(b`:                          "unexpected )",
		`/room-[a`:                        "missing closing ], at byte 6",
		`/room-(a`:                        "missing closing )",
		`/a**b`:                           "invalid nested repetition operator, at byte 2",
		`/a\`:                             "trailing backslash at end of expression, at byte 2",
		`/(?=x)`:                          "at byte 1",
		`/a{1001}`:                        "invalid repeat count, at byte 2",
		`/` + strings.Repeat("a{999}", 9): "at most 1000 are taken",
		`dynamic-.*`:                      `begins with "dynamic-"`,
	} {
		if _, err := CompilePattern(pattern); CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
}

// A pattern takes exactly the names of which its regular expression matches the whole.
func FuzzPattern_Matches(f *testing.F) {
	for _, pattern := range []string{`/a|/b`, `/\Q(`, `(?s)/.*`, `(?i)/K`, `^/(a*)$`, `/x??y*?`, `(?m:^/a$)|/b\b`, `/(?U)a+`} {
		f.Add(pattern, "/a")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := CompilePattern(pattern)
		if err != nil {
			return
		}
		longest := regexp.MustCompile(pattern)
		longest.Longest()
		at := longest.FindStringIndex(name)
		whole := at != nil && at[0] == 0 && at[1] == len(name)
		if got := p.Matches(Namespace(name)); got != whole {
			t.Errorf("%q takes %q: %v, its expression %v", pattern, name, got, whole)
		}
	})
}

// Registrations are for one name, or for those that match.
func TestRegistration_Covers(t *testing.T) {
	p, _ := CompilePattern("/a.*")
	named, matching := Registration{Namespace: "/a.*"}, Registration{Namespace: "/a.*", Pattern: true, Compiled: p}
	if named.Covers("/ab") || !named.Covers("/a.*") || !matching.Covers("/ab") || matching.Covers("/b") {
		t.Error("the wrong names are covered")
	}
}
