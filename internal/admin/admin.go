// SPDX-License-Identifier: Apache-2.0

// Package admin is the operators' door: health, readiness, metrics, profiles, and a page that leads to them. It only looks; it changes
// nothing. What may, API, has its own door.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options says what the door shows.
type Options struct {
	// Gatherer is the registry of the replica's metrics.
	Gatherer prometheus.Gatherer
	// Ready is nil when the replica should get new sessions, and says otherwise why not.
	Ready func() error
	// Status is the page's content.
	Status func() Status
	// API serves what is under /api/; nil when nothing is.
	API http.Handler
	// Profiling serves Go profiles.
	Profiling bool
}

// door answers the operators.
type door struct{ Options }

// New makes the door's handler.
func New(o Options) http.Handler {
	d := &door{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", d.readyz)
	mux.HandleFunc("GET /status", d.status)
	mux.HandleFunc("GET /{$}", d.page)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{}))
	if o.API != nil {
		mux.Handle("/api/", o.API)
	}
	if o.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	} else {
		mux.HandleFunc("GET /debug/pprof/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Profiles are turned off (setting profiling).", http.StatusNotFound)
		})
	}
	return mux
}

func (d *door) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := d.Ready(); err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

func (d *door) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d.Status()) // an error means that the operator went away
}
