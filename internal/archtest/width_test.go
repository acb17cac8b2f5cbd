// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

const maxCommentWidth = 100

// commentMarks begin a line that is a comment, by the ending of the file. Scripts and make files
// have none.
var commentMarks = map[string][]string{
	".go": {"//"}, ".proto": {"//"}, ".js": {"//", "* "}, ".mjs": {"//", "* "},
	"": {"#"}, ".conf": {"#"}, ".py": {"#"}, ".sh": {"#"}, ".toml": {"#"}, ".txt": {"#"}, ".yaml": {"#"}, ".yml": {"#"},
}

// directives are comments for tools, which may not be wrapped.
var directives = []string{"//go:", "//nolint", "# type:", "# noqa", "// eslint-", "// @ts-", "/// <"}

// No line that is a comment is longer than 100 columns, with a tab for four; unless it is one word,
// such as an address.
func TestFiles_CommentWidth(t *testing.T) {
	for _, name := range files(t, "") {
		marks, ok := commentMarks[path.Ext(name)]
		if !ok || generated(name) || strings.HasPrefix(name, "testdata/") {
			continue
		}
		line := 0
		for text := range strings.Lines(read(t, name)) {
			line++
			if text = strings.TrimRight(text, "\n"); tooWide(text, marks) {
				t.Errorf("%s:%d: the comment has more than %d columns", name, line, maxCommentWidth)
			}
		}
	}
}

func tooWide(text string, marks []string) bool {
	if utf8.RuneCountInString(strings.ReplaceAll(text, "\t", "    ")) <= maxCommentWidth {
		return false
	}
	text = strings.TrimSpace(text)
	for _, d := range directives {
		if strings.HasPrefix(text, d) {
			return false
		}
	}
	for _, m := range marks {
		if rest, ok := strings.CutPrefix(text, m); ok {
			return len(strings.Fields(rest)) > 1
		}
	}
	return false
}

// Wide comments are found; code, directives and single words may be wide.
func TestFiles_TooWide(t *testing.T) {
	long := strings.Repeat("x", maxCommentWidth)
	for text, want := range map[string]bool{
		"// a " + long: true, "\t// a " + strings.Repeat("x", 92): true, "// " + long: false, "//go:embed a " + long: false, "f(a, " + long + ")": false,
		"// short": false,
	} {
		if got := tooWide(text, []string{"//"}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
