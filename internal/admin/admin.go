// SPDX-License-Identifier: Apache-2.0

// Package admin is the operators' entry point: health, readiness, metrics, profiles, and a page
// that leads to them. It changes nothing; what may change something, the API, authorizes its
// callers itself.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options says what operators see.
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
	// Look wraps what shows metrics and status, and Operate what takes profiles; each admits
	// callers with the right. Nil admits all. Health and readiness are open: probes have no
	// credentials.
	Look, Operate func(http.Handler) http.Handler
}

// handler answers the operators.
type handler struct{ Options }

// New makes the handler.
func New(o Options) http.Handler {
	d := &handler{o}
	mux := http.NewServeMux()
	look, operate := wrapper(o.Look), wrapper(o.Operate)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", d.readyz)
	mux.Handle("GET /status", look(http.HandlerFunc(d.status)))
	mux.Handle("GET /{$}", look(http.HandlerFunc(d.page)))
	mux.Handle("GET /metrics", look(promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{})))
	if o.API != nil {
		mux.Handle("/api/", o.API)
	}
	profiles := http.NewServeMux()
	if o.Profiling {
		// There is no cmdline: it would show secrets that were given as flags.
		profiles.HandleFunc("GET /debug/pprof/", pprof.Index)
		profiles.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		profiles.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	} else {
		profiles.HandleFunc("GET /debug/pprof/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Profiles are turned off (setting profiling).", http.StatusNotFound)
		})
	}
	mux.Handle("GET /debug/pprof/", operate(profiles))
	return closed(mux)
}

func wrapper(wrap func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	if wrap == nil {
		return func(h http.Handler) http.Handler { return h }
	}
	return wrap
}

// closed keeps pages from using what is served here: it runs no scripts, stands in no frame, and is
// of the type that it says.
func closed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		h.ServeHTTP(w, r)
	})
}

func (d *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := d.Ready(); err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

func (d *handler) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d.Status()) // an error means that the operator went away
}
