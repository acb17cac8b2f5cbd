// SPDX-License-Identifier: Apache-2.0

package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/config"
)

const (
	root             = "../.."
	maxFileLines     = 500
	maxFunctionLines = 80
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

// Every source file says its licence in its first lines.
func TestFiles_Licence(t *testing.T) {
	for _, name := range files(t, ".go", ".py", ".proto") {
		if generated(name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if head := data[:min(len(data), 200)]; len(data) > 0 && !bytes.Contains(head, []byte("SPDX-License-Identifier: Apache-2.0")) {
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

// Each Go package is explained once.
func TestFiles_PackageComment(t *testing.T) {
	comments := make(map[string]int)
	for _, name := range files(t, ".go") {
		if generated(name) || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(name)
		comments[dir] += 0
		if f.Doc != nil {
			comments[dir]++
		}
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("package in %s has %d package comments, not one", dir, n)
		}
	}
}

// The reference of settings is what the program prints.
func TestDocs_Settings(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "docs/reference/settings.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != config.Document() {
		t.Error("docs/reference/settings.md is stale: run make generate")
	}
}

// Code that the documentation shows stands word for word in the example that it names: a fence is preceded by a line
// `<!-- from PATH -->`.
func TestDocs_Code(t *testing.T) {
	for _, name := range files(t, ".md") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(data), "<!-- from ")[1:] {
			source, rest, _ := strings.Cut(part, " -->\n")
			_, rest, _ = strings.Cut(rest, "```")
			_, rest, _ = strings.Cut(rest, "\n")
			code, _, ok := strings.Cut(rest, "```")
			example, err := os.ReadFile(filepath.Join(root, source))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !ok || !strings.Contains(string(example), strings.TrimSpace(code)) {
				t.Errorf("%s shows code that is not in %s", name, source)
			}
		}
	}
}

// Every make target that the documentation names exists.
func TestDocs_Targets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/benchmarks.md"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range strings.Split(string(data), "make ")[1:] {
			target := strings.FieldsFunc(part, func(r rune) bool { return !('a' <= r && r <= 'z' || r == '-') })
			if len(target) == 0 || !strings.HasPrefix(part, target[0]) {
				continue
			}
			if strings.Contains(part[:min(len(part), len(target[0])+1)], "`") && !bytes.Contains(makefile, []byte("\n"+target[0]+":")) {
				t.Errorf("%s names make %s, which is no target", name, target[0])
			}
		}
	}
}
