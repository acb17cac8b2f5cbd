// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/test/process"
)

const (
	root  = "../.."
	limit = time.Minute // of one command, and of one wait
)

// pageVariable names the page that this process runs, in its own network namespace.
const pageVariable = "DOCS_PAGE"

// inRepository are pages whose commands run at the top of a checkout, as the page says.
var inRepository = map[string]bool{"README.md": true, "docs/tutorial.md": true, "docs/protocol.md": true, "examples/polyglot/README.md": true}

// Every page does what it says, in the order of the page.
func TestPages(t *testing.T) {
	if page := os.Getenv(pageVariable); page != "" {
		if err := loopbackUp(); err != nil {
			t.Fatal(err)
		}
		follow(t, page)
		return
	}
	build(t)
	for _, page := range pages(t) {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, page))
			if err != nil {
				t.Fatal(err)
			}
			steps, err := parse(string(text))
			if err != nil {
				t.Error(err)
			}
			if len(steps) > 0 {
				inNamespace(t, page)
			}
		})
	}
}

// pages lists the pages of the documentation, and the READMEs of examples.
func pages(t *testing.T) (all []string) {
	all = []string{"README.md"}
	for _, dir := range []string{"docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			name, _ := filepath.Rel(root, path)
			if d != nil && (d.Name() == "node_modules" || d.Name() == "adr") {
				return filepath.SkipDir
			}
			if strings.HasSuffix(name, ".md") {
				all = append(all, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// build makes what the pages assume to be installed.
func build(t *testing.T) {
	out, err := exec.Command("go", "build", "-C", root, "-o", "bin/broker", "./cmd/broker").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// inNamespace runs this test again for one page, where no port is taken and mounts are its own.
func inNamespace(t *testing.T, page string) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPages$", "-test.count", "1", "-test.v")
	cmd.Env = append(os.Environ(), pageVariable+"="+page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 { // a user namespace lets everybody have a network namespace
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// loopbackUp brings the loopback of a new network namespace up.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(s) }()
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// reader follows one page.
type reader struct {
	t          *testing.T
	page, dir  string
	env        []string
	background []*process.Process
}

func follow(t *testing.T, page string) {
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(top, page))
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, page: page, dir: t.TempDir(), env: []string{
		"PATH=" + filepath.Join(top, "bin") + ":" + filepath.Join(top, ".venv/bin") + ":" + os.Getenv("PATH"),
		"REPOSITORY=" + top, "PYTHONUNBUFFERED=1", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "NODE_PATH=" + filepath.Join(top, "test/interop/js/node_modules"),
	}}
	if inRepository[page] {
		r.env = r.env[:3]
		r.dir = top
		overlay(t, top)
	}
	defer r.stop()
	steps, _ := parse(string(text))
	for _, s := range steps {
		r.step(s)
		if t.Failed() {
			return
		}
	}
}

// overlay lets the page write into the checkout: what it writes goes into memory, and ends with
// this process. A copy would do as well, but Go would compile everything again at another path.
func overlay(t *testing.T, top string) {
	t.Helper()
	scratch := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatalf("overlay over the checkout: %v", err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	must(unix.Mount("tmpfs", scratch, "tmpfs", 0, ""))
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	must(os.Mkdir(upper, 0o755))
	must(os.Mkdir(work, 0o755))
	must(unix.Mount("overlay", top, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", top, upper, work)))
	t.Cleanup(func() {
		_ = unix.Unmount(top, unix.MNT_DETACH)
		_ = unix.Unmount(scratch, unix.MNT_DETACH)
	})
}

func (r *reader) step(s step) {
	switch s.verb {
	case "run", "check":
		r.run(s)
	case "background":
		r.start(s)
	case "save":
		r.write(s, os.O_TRUNC)
	case "append":
		r.write(s, os.O_APPEND)
	case "stop":
		r.stop()
	}
}

func (r *reader) fail(s step, format string, args ...any) {
	r.t.Errorf("%s:%d: %s", r.page, s.line, fmt.Sprintf(format, args...))
	for _, p := range r.background {
		r.t.Logf("%s printed:\n%s", p.Name, p.Log())
	}
}

func (r *reader) run(s step) {
	p, err := process.Start(s.code, r.dir, r.env, "bash", "-euo", "pipefail", "-c", s.code)
	if err != nil {
		r.fail(s, "%v", err)
		return
	}
	switch {
	case !p.Wait(limit):
		p.Kill()
		r.fail(s, "%s\ndid not end within %v:\n%s", s.code, limit, p.Log())
	case p.Err() != nil:
		r.fail(s, "%s\nfailed with %v:\n%s", s.code, p.Err(), p.Log())
	case !strings.Contains(p.Log(), s.text):
		r.fail(s, "%s\ndid not print %q:\n%s", s.code, s.text, p.Log())
	}
}

// start starts each line of the block, with the lines that continue it.
func (r *reader) start(s step) {
	texts := strings.Split(s.text, "|")
	for i, command := range strings.Split(strings.ReplaceAll(strings.TrimSpace(s.code), "\\\n", " "), "\n") {
		command, _, _ = strings.Cut(command, " # ")
		// A shell stays, since a line may begin with variables, and a group of its own ends with
		// it.
		p, err := process.Start(command, r.dir, r.env, "bash", "-c", "trap 'kill $child; wait $child' TERM; "+command+" & child=$!; wait $child")
		if err != nil {
			r.fail(s, "%v", err)
			return
		}
		r.background = append(r.background, p)
		if err := p.WaitFor(texts[min(i, len(texts)-1)], limit); err != nil {
			r.fail(s, "%v", err)
			return
		}
	}
}

func (r *reader) write(s step, how int) {
	f, err := os.OpenFile(filepath.Join(r.dir, s.text), os.O_CREATE|os.O_WRONLY|how, 0o600)
	if err == nil {
		_, err = f.WriteString(s.code)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		r.fail(s, "%v", err)
	}
}

// stop ends what runs in the background, the latest first.
func (r *reader) stop() {
	for i := len(r.background) - 1; i >= 0; i-- {
		if p := r.background[i]; !p.Stop(limit) {
			r.t.Errorf("%s: %s did not end", r.page, p.Name)
		}
	}
	r.background = nil
}
