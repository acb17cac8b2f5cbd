// SPDX-License-Identifier: Apache-2.0

// Package filewatch reloads files when they change: certificates and the file of callers. It
// compares contents, since a file may be replaced by a link, or through one, without a useful time.
// It loads what is the same in two looks, since a file may be half written. While a file cannot be
// used, the content that was loaded before stays in force.
package filewatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
)

// Source is what is made of some files.
type Source interface {
	// Files names the files that it is made of now; it may change with Load.
	Files() []string
	// Load reads the files again. An error says why nothing has changed.
	Load() error
}

// Watcher reloads sources. Make one with New, Add all, and Run it.
type Watcher struct {
	interval time.Duration
	metrics  *metrics.FileWatch
	log      *slog.Logger
	watched  []*watched
}

type watched struct {
	name    string
	source  Source
	digest  []byte // of what is in force
	refused []byte // of what could not be used last; nil when nothing was since
	seen    []byte // of what was there at the last look
	changed func()
}

// New makes a watcher that looks once in an interval.
func New(interval time.Duration, m *metrics.FileWatch, log *slog.Logger) *Watcher {
	return &Watcher{interval: interval, metrics: m, log: log}
}

// Add watches a source that has been loaded. name is for people. changed is called after each
// reload; it may be nil.
func (w *Watcher) Add(name string, s Source, changed func()) {
	w.metrics.Stale.With(name).Set(0)
	w.watched = append(w.watched, &watched{name: name, source: s, digest: digest(s.Files()), changed: changed})
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	if len(w.watched) == 0 {
		return
	}
	ticker := time.NewTicker(w.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look()
		}
	}
}

func (w *Watcher) look() {
	for _, x := range w.watched {
		now := digest(x.source.Files())
		still := bytes.Equal(now, x.seen)
		x.seen = now
		if !still || x.refused == nil && bytes.Equal(now, x.digest) {
			continue // nothing new, or a file is being written
		}
		if err := x.source.Load(); err != nil {
			// The next look tries again: files of one source may be replaced one after another, and
			// a certificate may begin to be valid.
			if !bytes.Equal(now, x.refused) {
				w.metrics.Failed.With(x.name).Inc()
				w.metrics.Stale.With(x.name).Set(1)
				w.log.Error("reload failed: the content that was loaded before stays in force", "file", x.name, "err", err)
			}
			x.refused = now
			continue
		}
		// as it was before it was read: what changed meanwhile is found at the next look
		x.digest, x.refused = now, nil
		w.metrics.Loaded.With(x.name).Inc()
		w.metrics.Stale.With(x.name).Set(0)
		w.log.Info("files reloaded", "file", x.name)
		if x.changed != nil {
			x.changed()
		}
	}
}

// digest tells the contents of files from any other contents. A file that cannot be read counts as
// a content of its own.
func digest(files []string) []byte {
	h := sha256.New()
	for _, name := range files {
		data, err := os.ReadFile(name)
		part := sha256.Sum256(data)
		if err != nil {
			part = sha256.Sum256([]byte("cannot be read"))
		}
		h.Write(part[:])
	}
	return h.Sum(nil)
}
