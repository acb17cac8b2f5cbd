// SPDX-License-Identifier: Apache-2.0

package filewatch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
)

// text is a source that is a file's text.
type text struct {
	file, text string
	loads      int
	early      int    // so many loads fail, whatever the file says
	meanwhile  func() // happens once, after the file was read
}

func (s *text) Files() []string { return []string{s.file} }

func (s *text) Load() error {
	s.loads++
	data, err := os.ReadFile(s.file)
	if err != nil {
		return err
	}
	if s.early > 0 {
		s.early--
		return errors.New("too early")
	}
	if do := s.meanwhile; do != nil {
		s.meanwhile = nil
		do()
	}
	if string(data) == "bad" {
		return errors.New("bad")
	}
	s.text = string(data)
	return nil
}

// value reads a counter or a gauge.
func value(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := &text{file: filepath.Join(dir, "link")}
		write := func(name, content string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		point := func(at string) { // as secrets are replaced in a mounted volume
			t.Helper()
			if err := os.Symlink(at, filepath.Join(dir, "new")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "new"), s.file); err != nil {
				t.Fatal(err)
			}
		}
		write("one", "first")
		point("one")
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		m := metrics.NewFileWatch(nil)
		w, changed := New(time.Second, m, slog.New(slog.DiscardHandler)), 0
		w.Add("text", s, func() { changed++ })
		stale := m.Stale.With("text")

		const again = -1 // what cannot be used is tried at each look
		for _, step := range []struct {
			name           string
			do             func()
			text           string
			loads, changed int
			stale          int
		}{
			{"nothing", func() {}, "first", 1, 0, 0},
			{"written again", func() { write("one", "first") }, "first", 1, 0, 0},
			{"another file", func() { write("two", "second"); point("two") }, "second", 2, 1, 0},
			{"nonsense", func() { write("two", "bad") }, "second", again, 1, 1},
			{"gone", func() { _ = os.Remove(s.file) }, "second", again, 1, 1},
			{"repaired", func() { write("link", "third") }, "third", again, 2, 0},
			{"in time", func() { s.early = 2; write("link", "fourth") }, "fourth", again, 3, 0},
			{"while it is read", func() { s.meanwhile = func() { write("link", "sixth") }; write("link", "fifth") }, "sixth", again, 5, 0},
		} {
			step.do()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			w.Run(ctx)
			cancel()
			if s.text != step.text || (step.loads != again && s.loads != step.loads) || changed != step.changed || value(stale) != step.stale {
				t.Errorf("%s: text %q, %d loads, %d changes, stale %d", step.name, s.text, s.loads, changed, value(stale))
			}
		}
		if n := value(m.Failed.With("text")); n != 3 {
			t.Errorf("%d failures were counted", n)
		}
	})
}
