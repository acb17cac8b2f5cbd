// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// retired are words and phrases of an earlier private dialect, each with what to write. They are
// written with a gap, so that this file does not hold them.
var retired = map[string]string{
	"a~new":                                  "again",
	"(?:come|comes|came|coming) to n~othing": "failed",
	"w~hoever":                               "name the thing",
	"s~omebody":                              "name the caller",
	"s~trangers?":                            "unauthenticated, untrusted, a client",
	"f~arewells?":                            "orphaned disconnect",
	"for e~ver":                              "without a limit",
	"(?:stood|stands|stand) s~till":          "was paused",
	"p~orters?":                              "interceptor",
	"a~skers?":                               "caller",
	"e~rrands?":                              "request",
	"h~omeless":                              "unassigned",
	"o~ccurrences?":                          "trace event",
	"s~urveys?":                              "load",
	"t~old":                                  "notified, announced",
	"(?:tells|tell|telling) o~f":             "reports, describes",
	"in good o~rder":                         "after a drain",
	"before (?:their|its) t~ime":             "early",
	"what became o~f":                        "the outcome of",
	"m~end(?:ed|s|ing)?":                     "repair, fix",
	"un~logged":                              "suppressed",
	"lines left o~ut":                        "suppressed",
	"turn(?:ed|s)? a~way":                    "rejected",
	"l(?:et|ets|etting) i~n":                 "accepts",
	"d~oors?":                                "listener, entry point",
	"quiet~log":                              "loglimit",
	"plain~json":                             "apijson",
}

// retiredWords matches any of the retired words in a text that was prepared by plain.
func retiredWords() *regexp.Regexp {
	all := make([]string, 0, len(retired))
	for word := range retired {
		all = append(all, strings.ReplaceAll(word, "~", ""))
	}
	slices.Sort(all)
	return regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + `)\b`)
}

var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// plain parts the words of identifiers.
func plain(text string) string {
	return strings.ToLower(strings.ReplaceAll(camel.ReplaceAllString(text, "$1 $2"), "_", " "))
}

// contractNames returns an expression for the names of the contract that keep a retired word, since
// programs compile against them.
func contractNames() *regexp.Regexp {
	return regexp.MustCompile(strings.ReplaceAll(`\b(?:spanwirev1\.O~ccurrence(?:Kind)?(?:_O~CCURRENCE_KIND_)?|O~CCURRENCE_KIND_|(?:Get)?O~ccurrences\b|`+
		`(?:message|enum|repeated) O~ccurrence(?:Kind)?|O~ccurrenceKind kind|o~ccurrences =|O~ccurrence(?:Kind)? is|O~ccurrence\.missed)`, "~", ""))
}

// No file has a retired word in a comment, a text or a name.
func TestVocabulary(t *testing.T) {
	words, exempt := retiredWords(), contractNames()
	for _, name := range files(t, ".go", ".py", ".proto", ".md", ".js", ".mjs", ".sh", ".yml", ".yaml", ".html", "Makefile") {
		// the changelog names what was renamed, and the glossary what not to say
		if generated(name) || strings.HasPrefix(name, "testdata/") || name == "CHANGELOG.md" || name == "docs/reference/glossary.md" {
			continue
		}
		line := 0
		for text := range strings.Lines(read(t, name)) {
			line++
			if found := words.FindString(plain(exempt.ReplaceAllString(text, ""))); found != "" {
				t.Errorf("%s:%d: %q is no word of this project", name, line, found)
			}
		}
	}
}

// Words are found as they are, in identifiers, and in other cases; parts of other words are not.
func TestVocabulary_Found(t *testing.T) {
	words := retiredWords()
	for text, want := range map[string]bool{
		"An old " + "Str" + "anger.": true, "f.for" + "Whoe" + "ver()": true, "un" + "logged_lines": true, "recommended": false, "annotated": false,
		"a renewed lease": false, "toldo": false,
	} {
		if got := words.MatchString(plain(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
