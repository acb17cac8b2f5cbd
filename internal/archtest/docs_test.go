// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/metrics"
)

// The references are what the program prints.
func TestDocs_References(t *testing.T) {
	for name, want := range map[string]string{
		"docs/reference/settings.md": broker.SettingsPage(),
		"docs/reference/metrics.md":  metrics.Document(),
	} {
		if read(t, name) != want {
			t.Errorf("%s is stale: run make generate", name)
		}
	}
}

// settingName matches what documentation writes for a flag of the broker.
var settingName = regexp.MustCompile("`(?:--)?([a-z]+(?:-[a-z]+)+)(?:[= ][^`]*)?`")

// Every setting that documents or messages name with dashes in code quotes exists, or is one of the
// words that are none.
func TestDocs_SettingNames(t *testing.T) {
	known := map[string]bool{}
	for _, s := range broker.DefaultConfig().Settings() {
		known[s.Name] = true
	}
	emit := []string{"wait-acks", "tls-ca"} // flags of broker emit
	for _, name := range files(t, ".md") {
		if !strings.HasPrefix(name, "docs/how-to/") && name != "docs/tutorial.md" && name != "README.md" && name != "SECURITY.md" {
			continue
		}
		for _, m := range settingName.FindAllStringSubmatch(read(t, name), -1) {
			if !known[m[1]] && !slices.Contains(emit, m[1]) && strings.HasPrefix(m[0], "`--") {
				t.Errorf("%s names the flag --%s, which is none", name, m[1])
			}
		}
	}
}

// variable matches an environment variable of the project.
var variable = regexp.MustCompile(`SPANWIRE_[A-Z_]+[A-Z]`)

// The broker knows every variable that the SDKs, the examples and the documentation name, so that
// sharing an environment is no fault.
func TestDocs_Variables(t *testing.T) {
	for _, name := range files(t, ".md", ".py", ".go") {
		if strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "bench/") {
			continue
		}
		for _, v := range variable.FindAllString(read(t, name), -1) {
			// A value that no setting takes is fine: only the name is asked about.
			if _, err := broker.DefaultConfig().Load(nil, []string{v + "=1"}); err != nil && strings.Contains(err.Error(), "variable "+v+" is not known") {
				t.Errorf("%s names %s, which the broker refuses to start with", name, v)
			}
		}
	}
}

// Code that the documentation shows stands word for word in the example that it names: a fence is
// preceded by a line `<!-- from PATH -->`.
func TestDocs_Code(t *testing.T) {
	for _, name := range files(t, ".md") {
		for _, part := range strings.Split(read(t, name), "<!-- from ")[1:] {
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

// target matches a call of make in a fence or in code quotes.
var target = regexp.MustCompile("(?m)(?:^|`|[A-Z_]+=[^ ]+ )make ([a-z-]+)")

// Every make target that the documentation names exists.
func TestDocs_Targets(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range files(t, ".md") {
		for _, m := range target.FindAllStringSubmatch(read(t, name), -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which is no target", name, m[1])
			}
		}
	}
	for _, must := range []string{"make run", "make test"} {
		if !strings.Contains(read(t, "README.md"), must) {
			t.Errorf("README.md does not mention %s", must)
		}
	}
}

// link matches a relative link of Markdown, without its anchor.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)

// Every relative link of the documentation leads somewhere.
func TestDocs_Links(t *testing.T) {
	for _, name := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, where there is nothing", name, m[1])
			}
		}
	}
}

// Every decision is in the index, under its own number and title, and says what a decision says.
func TestDocs_Decisions(t *testing.T) {
	index := read(t, "docs/adr/README.md")
	for _, name := range files(t, ".md") {
		base, ok := strings.CutPrefix(name, "docs/adr/")
		if !ok || base == "README.md" {
			continue
		}
		text := read(t, name)
		heading, _, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
		number, title, _ := strings.Cut(heading, ": ")
		if line := "| [" + number + "](" + base + ") | " + title + " |"; !strings.Contains(index, line) {
			t.Errorf("docs/adr/README.md lacks the line of %s: %s", name, line)
		}
		if !strings.HasPrefix(base, number+"-") || strings.Count(index, "| ["+number+"]") != 1 {
			t.Errorf("%s has a number that is taken, or not that of its heading", name)
		}
		for _, part := range []string{"\nStatus: ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q", name, strings.TrimSpace(part))
			}
		}
	}
}

// Every package of the table of imports is in the map of the code, by its path or, in the line of
// the package that it belongs to, by its name.
func TestDocs_CodeMap(t *testing.T) {
	architecture := read(t, "ARCHITECTURE.md")
	for _, r := range rules {
		if !strings.Contains(architecture, "`"+r.path+"`") && !strings.Contains(architecture, "`"+path.Base(r.path)+"`") {
			t.Errorf("ARCHITECTURE.md does not mention %s", r.path)
		}
	}
}

// repositoryPath matches a path of the repository in code quotes.
var repositoryPath = regexp.MustCompile("`((?:api|internal|sdk|docs|cmd)/[A-Za-z0-9_./-]+)`")

// Every file and directory that ARCHITECTURE.md names exists.
func TestDocs_ArchitecturePaths(t *testing.T) {
	for _, m := range repositoryPath.FindAllStringSubmatch(read(t, "ARCHITECTURE.md"), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[1])
		}
	}
}
