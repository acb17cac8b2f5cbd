// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"archive/zip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// publish writes the three modules of this checkout, as a release with the version of this test,
// into the folder of a module proxy. The layout is that of https://go.dev/ref/mod#goproxy-protocol.
func publish(t *testing.T) (proxy string) {
	t.Helper()
	proxy = t.TempDir()
	for _, dir := range []string{"", "api", "sdk/go"} {
		path := strings.TrimSuffix(module+"/"+dir, "/")
		versions := filepath.Join(proxy, path, "@v")
		if err := os.MkdirAll(versions, 0o700); err != nil {
			t.Fatal(err)
		}
		gomod := asReleased(read(t, filepath.Join(root(t), dir, "go.mod")))
		info := fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, released)
		for name, text := range map[string]string{"list": released + "\n", released + ".info": info, released + ".mod": gomod} {
			if err := os.WriteFile(filepath.Join(versions, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pack(t, dir, path+"@"+released, filepath.Join(versions, released+".zip"))
	}
	return proxy
}

var sibling = regexp.MustCompile(regexp.QuoteMeta(module) + `/(?:api|sdk/go) (v\S+)`)

// asReleased is go.mod with the version of this test in the place of that which it names of the
// other modules.
func asReleased(gomod string) string {
	return sibling.ReplaceAllStringFunc(gomod, func(s string) string {
		path, _, _ := strings.Cut(s, " ")
		return path + " " + released
	})
}

// pack writes the files of one module, without those of the modules below it.
func pack(t *testing.T, dir, prefix, archive string) {
	t.Helper()
	f, err := os.Create(archive) //nolint:gosec // in a folder of the test
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for _, name := range moduleFiles(t, dir) {
		text := read(t, filepath.Join(root(t), dir, name))
		if name == "go.mod" {
			text = asReleased(text)
		}
		entry, err := w.Create(prefix + "/" + name)
		if err == nil {
			_, err = entry.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// moduleFiles lists the files below a module's directory that git knows or would take.
func moduleFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = filepath.Join(root(t), dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		below := dir == "" && (strings.HasPrefix(name, "api/") || strings.HasPrefix(name, "sdk/go/"))
		if info, err := os.Lstat(filepath.Join(cmd.Dir, name)); err != nil || !info.Mode().IsRegular() || below {
			continue
		}
		names = append(names, name)
	}
	return names
}
