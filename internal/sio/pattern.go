// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Pattern is a regular expression (RE2) for names of namespaces. It is safe for use by several
// goroutines.
type Pattern struct {
	text string
	re   *regexp.Regexp
}

// Bounds of a pattern. Browsers choose the names, so what one name costs has to be small whatever
// the pattern is; repetitions can make a short text a long program.
const (
	MaxPatternLength       = 255   // bytes
	maxPatternInstructions = 1_000 // of the compiled program
)

// CompilePattern makes a pattern of its text. An error has CodeInvalid, and its message says what
// is wrong and, where it is known, at which byte.
func CompilePattern(text string) (*Pattern, error) {
	invalid := func(format string, args ...any) (*Pattern, error) {
		return nil, E(CodeInvalid, "pattern", fmt.Sprintf(format, args...))
	}
	if text == "" || len(text) > MaxPatternLength {
		return invalid("it has %d bytes, and must have 1 to %d", len(text), MaxPatternLength)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return invalid("%s", syntaxFault(text, err))
	}
	// The text of the tree stands for itself wherever it is put; the text that was given may leave
	// a quotation open.
	whole := `\A(?:` + tree.String() + `)\z`
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return invalid("%v", err)
	}
	if n := len(program.Inst); n > maxPatternInstructions {
		return invalid("its repetitions make a program of %d steps, and at most %d are taken", n, maxPatternInstructions)
	}
	if prefix, _ := program.Prefix(); prefix != "" && prefix[0] != '/' {
		return invalid("it matches no namespace, since it begins with %q and names begin with a slash", prefix)
	}
	re, err := regexp.Compile(whole)
	if err != nil {
		return invalid("%v", err)
	}
	return &Pattern{text: text, re: re}, nil
}

// Matches tells whether the pattern matches the whole name.
func (p *Pattern) Matches(ns Namespace) bool { return p.re.MatchString(string(ns)) }

// String gives the text of the pattern.
func (p *Pattern) String() string { return p.text }

// syntaxFault words an error of the parser, with its place in the text if the error tells more than
// the whole text.
func syntaxFault(text string, err error) string {
	var fault *syntax.Error
	if !errors.As(err, &fault) {
		return err.Error()
	}
	at := strings.Index(text, fault.Expr)
	switch {
	case fault.Code == syntax.ErrTrailingBackslash:
		at = len(text) - 1
	case strings.HasSuffix(text, fault.Expr): // the rest, from where it went wrong
		at = len(text) - len(fault.Expr)
	}
	if at < 0 || fault.Expr == text {
		return fault.Code.String()
	}
	return fmt.Sprintf("%s, at byte %d: %q", fault.Code, at, text[at:])
}
