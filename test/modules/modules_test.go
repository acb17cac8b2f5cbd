// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	module   = "github.com/spanwire/spanwire"
	released = "v0.98.7" // of the modules that a test publishes
)

// program is a whole program that a user of the SDK writes.
const program = `package main

import (
	"fmt"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

func main() {
	spanwire.NewService("scratch", spanwire.Options{})
	fmt.Print(spanwire.Version())
}
`

// A program beside a checkout builds with two replace lines. Its module graph contains no module
// that only the broker requires.
func TestSDK_Replaced(t *testing.T) {
	p := newProgram(t, "")
	p.write("go.mod", "module example.com/scratch\n\ngo 1.26.0\n\n"+
		"require "+module+"/sdk/go v0.1.0\n\n"+
		"replace "+module+"/sdk/go => "+p.repository+"/sdk/go\n\n"+
		"replace "+module+"/api => "+p.repository+"/api\n")
	p.run("go", "mod", "tidy")
	p.run("go", "build", "-o", "scratch", ".")
	if got := p.run("./scratch"); got != "devel" {
		t.Errorf("the SDK's version is %q, want devel", got)
	}
	p.requiresNoBroker()
}

// A program that requires a release of the SDK shows its version.
func TestSDK_Released(t *testing.T) {
	p := newProgram(t, publish(t))
	p.write("go.mod", "module example.com/scratch\n\ngo 1.26.0\n\nrequire "+module+"/sdk/go "+released+"\n")
	p.run("go", "mod", "tidy")
	p.run("go", "build", "-trimpath", "-o", "scratch", ".")
	if got, want := p.run("./scratch"), strings.TrimPrefix(released, "v"); got != want {
		t.Errorf("the SDK's version is %q, want %q", got, want)
	}
	p.requiresNoBroker()
}

// The go command installs a released broker, which shows the version of its tag.
func TestBroker_Installed(t *testing.T) {
	p := newProgram(t, publish(t))
	p.run("go", "install", "-trimpath", module+"/cmd/broker@"+released)
	if got, want := p.run("./broker", "version"), "spanwire broker "+strings.TrimPrefix(released, "v")+"\n"; got != want {
		t.Errorf("the broker says %q, want %q", got, want)
	}
}

// The modules name one version of each other, in their go.mod files and in go.work.
func TestVersions(t *testing.T) {
	named := regexp.MustCompile(`(?m)^.*` + regexp.QuoteMeta(module) + `/(?:api|sdk/go) (v\S+)`)
	versions := make(map[string][]string)
	for _, file := range []string{"go.mod", "sdk/go/go.mod", "go.work"} {
		found := named.FindAllStringSubmatch(read(t, filepath.Join(root(t), file)), -1)
		if len(found) == 0 {
			t.Errorf("%s names no version of another module", file)
		}
		for _, f := range found {
			versions[f[1]] = append(versions[f[1]], file)
		}
	}
	if len(versions) != 1 {
		t.Errorf("the modules name different versions of each other: %v", versions)
	}
	for _, file := range []string{"go.mod", "sdk/go/go.mod", "api/go.mod"} {
		if strings.Contains(read(t, filepath.Join(root(t), file)), "\nreplace") {
			t.Errorf("%s has a replace directive, with which go install of a release fails", file)
		}
	}
}

// scratch is the folder of a program outside the repository.
type scratch struct {
	t                  *testing.T
	folder, repository string
	environ            []string
}

// newProgram writes the program. It takes modules from a proxy's folder first, if one is given.
func newProgram(t *testing.T, proxy string) *scratch {
	t.Helper()
	p := &scratch{t: t, folder: t.TempDir(), repository: root(t)}
	p.environ = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOBIN="+p.folder)
	if proxy != "" {
		// A module cache of its own keeps the modules of this test from other builds. All further
		// modules were downloaded, and compared with their checksums, for this repository.
		downloaded := filepath.Join(strings.TrimSpace(p.run("go", "env", "GOMODCACHE")), "cache", "download")
		p.environ = append(p.environ, "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE="+t.TempDir(), "GOSUMDB=off",
			"GOPROXY=file://"+proxy+",file://"+downloaded+",https://proxy.golang.org")
	}
	p.write("main.go", program)
	return p
}

func (p *scratch) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *scratch) run(command ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = p.folder, p.environ
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out, stderr.String())
	}
	return string(out)
}

// requiresNoBroker fails when the module graph of the program names what only the broker needs.
func (p *scratch) requiresNoBroker() {
	p.t.Helper()
	graph := p.run("go", "mod", "graph")
	if !strings.Contains(graph, module+"/sdk/go@") || !strings.Contains(graph, "google.golang.org/grpc@") {
		p.t.Fatalf("this is no module graph of the program:\n%s", graph)
	}
	for line := range strings.Lines(graph) {
		for _, needless := range []string{"nats-io", "prometheus", "gorilla/websocket", module + "@"} {
			if strings.Contains(line, needless) {
				p.t.Errorf("the module graph of a user's program names %s: %s", needless, line)
			}
		}
	}
}

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
