// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root             = "../.."
	maxFileLines     = 450
	maxFunctionLines = 60
)

// files lists the files that git knows or would take, with one of the endings.
func files(t *testing.T, endings ...string) (names []string) {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			continue // deleted, not committed yet
		}
		for _, e := range endings {
			if strings.HasSuffix(name, e) {
				names = append(names, name)
			}
		}
	}
	return names
}

func generated(name string) bool {
	return strings.HasPrefix(name, "api/gen/") || strings.Contains(name, "/_proto/") || strings.Contains(name, "/bundle/")
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every source file says its licence in its first lines.
func TestFiles_Licence(t *testing.T) {
	const head = 200 // bytes, in which a line for the interpreter has room too
	for _, name := range files(t, ".go", ".py", ".proto", ".sh", ".js", ".mjs", "Makefile") {
		text := read(t, name)
		if !generated(name) && text != "" && !strings.Contains(text[:min(len(text), head)], "SPDX-License-Identifier: Apache-2.0") {
			t.Errorf("%s does not begin with its licence line", name)
		}
	}
}

// Files and functions stay short enough to be read.
func TestFiles_Length(t *testing.T) {
	for _, name := range files(t, ".go") {
		if generated(name) {
			continue
		}
		limit, functions := maxFileLines, maxFunctionLines
		if strings.HasSuffix(name, "_test.go") {
			limit, functions = 2*limit, 2*functions
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if n := set.Position(f.FileEnd).Line; n > limit {
			t.Errorf("%s has %d lines, more than %d: split it by noun", name, n, limit)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line; n > functions {
					t.Errorf("%s: function %s has %d lines, more than %d", name, fn.Name.Name, n, functions)
				}
			}
		}
	}
}

// Each Go package is explained once, in the file that is named as the package: main packages in
// main.go.
func TestFiles_PackageComment(t *testing.T) {
	comments := make(map[string][]string)
	for _, name := range files(t, ".go") {
		if generated(name) || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(name)
		if f.Doc == nil {
			comments[dir] = append(comments[dir], "")
			continue
		}
		comments[dir] = append(comments[dir], name)
		if want := f.Name.Name + ".go"; filepath.Base(name) != want {
			t.Errorf("the package comment of %s stands in %s, not in %s", dir, name, want)
		}
	}
	for dir, all := range comments {
		if n := len(slices.DeleteFunc(all, func(name string) bool { return name == "" })); n != 1 {
			t.Errorf("the package in %s has %d package comments, not one", dir, n)
		}
	}
}

// forbidden are words that no file may hold, each with the reason.
var forbidden = []struct{ word, why string }{
	{`\bTO` + `DO\b`, "unfinished work belongs into an issue"},
	{`\bFIX` + `ME\b`, "unfinished work belongs into an issue"},
	{`\bXX` + `X\b`, "unfinished work belongs into an issue"},
	{`\b(DESIGN|STYLE)` + `\.md\b`, "the decisions stand in docs/adr, the order of the code in ARCHITECTURE.md"},
	{`/work` + `/(main|shared)`, "a path of one machine means nothing on another"},
	{`/tmp/[a-z]+-?[a-z]*` + `\.md\b`, "a path of one machine means nothing on another"},
}

// No file speaks of what its reader cannot have.
func TestFiles_Words(t *testing.T) {
	for _, f := range forbidden {
		word := regexp.MustCompile(f.word)
		for _, name := range files(t, ".go", ".py", ".proto", ".md", ".js", ".mjs", ".sh", ".yml", ".yaml", "Makefile", ".html") {
			if generated(name) || strings.HasPrefix(name, "testdata/") {
				continue
			}
			if found := word.FindString(read(t, name)); found != "" {
				t.Errorf("%s says %q: %s", name, found, f.why)
			}
		}
	}
}

// vague are names that say nothing, so that such a package would take in everything.
var vague = []string{"common", "util", "utils", "helpers", "types", "manager", "misc", "shared"}

// No package has a name that says nothing.
func TestFiles_PackageNames(t *testing.T) {
	for _, name := range files(t, ".go") {
		if base := filepath.Base(filepath.Dir(name)); slices.Contains(vague, base) {
			t.Errorf("%s: a package named %q has no job of its own", name, base)
		}
	}
}

// environment matches what reads the environment or flags.
var environment = regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ|ExpandEnv|Args)\b|\bflag\.(Parse|String|Int|Bool|Duration|Var|NewFlagSet)\b`)

// mayReadEnvironment lists who reads the environment and flags, with the reason.
var mayReadEnvironment = map[string]string{
	"internal/config/": "the reader of all settings",
	"internal/cli/":    "the flags of emit, which are no settings of a broker",
}

// Inside the broker, only the configuration reads the environment and flags; all else gets
// options.
func TestFiles_Environment(t *testing.T) {
	for _, name := range files(t, ".go") {
		if !strings.HasPrefix(name, "internal/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		allowed := false
		for dir := range mayReadEnvironment {
			allowed = allowed || strings.HasPrefix(name, dir)
		}
		if found := environment.FindString(read(t, name)); found != "" && !allowed {
			t.Errorf("%s uses %s; make it a setting in internal/config", name, found)
		}
	}
}
