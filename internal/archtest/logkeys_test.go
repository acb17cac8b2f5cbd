// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every log line has only keys of the glossary.
func TestLogKeys(t *testing.T) {
	known := glossary(t).with("log key")
	for _, name := range files(t, ".go") {
		dir := filepath.Dir(name)
		if strings.HasSuffix(name, "_test.go") || !under(dir, "internal") && !under(dir, "cmd") && !under(dir, "sdk/go") {
			continue
		}
		for _, k := range logKeys(t, filepath.Join(root, name), nil) {
			if !slices.Contains(known, k.text) {
				t.Errorf("%s:%d: the log key %q is not in docs/reference/glossary.md", name, k.line, k.text)
			}
		}
	}
}

// The keys are found in calls, attributes, groups of arguments, and lists that grow.
func TestLogKeys_Found(t *testing.T) {
	const source = `package p
func f() {
	s.log.Info("m", "a", 1, slog.String("b", x), "c", "not a key")
	log.With("d", 1).Log(ctx, level, "m", "e", 2)
	args := []any{"g", 1, "h", "not a key"}
	args = append(args, "i", 1)
	slog.LogAttrs(ctx, level, "m", slog.Int("j", 1))
	n.Facts = append(append(n.Facts, "k", 1), "l", 2)
	w.Write("no", "log line")
	log.Warn("m", args...)
	log.Warn("m", append([]any{"n", 1}, args...)...)
	log.Warn("m", key, 1)
}`
	got := []string{}
	for _, k := range logKeys(t, "source.go", source) {
		got = append(got, k.text)
	}
	slices.Sort(got)
	if want := "? a b c d e g h i j k l n"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", got, want)
	}
}

type logKey struct {
	text string // "?" when it is no literal
	line int
}

// logKeys finds the keys of log lines. It goes by names, not by types: a logger is called log,
// logger or slog, and a list of arguments is a []any, or is called args or facts.
func logKeys(t *testing.T, name string, source any) (keys []logKey) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	add := func(args []ast.Expr) {
		for i := 0; i < len(args); i++ {
			switch x := args[i].(type) {
			case *ast.BasicLit:
				text, _ := strconv.Unquote(x.Value) // the parser has read it
				keys = append(keys, logKey{text, set.Position(x.Pos()).Line})
				i++ // its value
			case *ast.CallExpr: // an attribute, which is visited itself, or a list
			default:
				keys = append(keys, logKey{"?", set.Position(x.Pos()).Line})
				i++
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			add(keyed(x))
		case *ast.CompositeLit:
			if a, ok := x.Type.(*ast.ArrayType); ok && fmt.Sprint(a.Elt) == "any" && pairs(x.Elts) {
				add(x.Elts)
			}
		}
		return true
	})
	return keys
}

// before is how many arguments of a method of a logger stand before its keys.
var before = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "Log": 3, "LogAttrs": 3,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
}

// attributes are the functions of slog that make one.
var attributes = []string{"Any", "Bool", "Duration", "Float64", "Int", "Int64", "String", "Time", "Uint64", "Group"}

// keyed gives the arguments of a call that are keys and values in turn.
func keyed(c *ast.CallExpr) []ast.Expr {
	args := c.Args
	if c.Ellipsis.IsValid() {
		args = args[:len(args)-1]
	}
	switch f := c.Fun.(type) {
	case *ast.Ident:
		if f.Name == "append" && len(args) > 1 && isArgs(args[0]) {
			return args[1:]
		}
	case *ast.SelectorExpr:
		from := lastName(f.X)
		if from == "slog" && slices.Contains(attributes, f.Sel.Name) {
			return args[:1]
		}
		skip, ok := before[f.Sel.Name]
		if ok && (from == "log" || from == "logger" || from == "slog" || from == "With") && len(args) > skip {
			return args[skip:]
		}
	}
	return nil
}

func isArgs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.CallExpr:
		return lastName(x.Fun) == "append" && len(x.Args) > 0 && isArgs(x.Args[0])
	case *ast.CompositeLit:
		a, ok := x.Type.(*ast.ArrayType)
		return ok && fmt.Sprint(a.Elt) == "any"
	}
	return slices.Contains([]string{"args", "fact", "facts", "Facts"}, lastName(x))
}

// lastName is the last identifier of a.b.c, and of a.b() that of the method.
func lastName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.CallExpr:
		return lastName(x.Fun)
	}
	return ""
}

var keyForm = regexp.MustCompile(`^"[a-zA-Z_]+"$`)

// pairs tells whether the elements look like keys and values.
func pairs(elements []ast.Expr) bool {
	if len(elements) == 0 || len(elements)%2 != 0 {
		return false
	}
	for i := 0; i < len(elements); i += 2 {
		if l, ok := elements[i].(*ast.BasicLit); !ok || !keyForm.MatchString(l.Value) {
			return false
		}
	}
	return true
}
