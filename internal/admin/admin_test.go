// SPDX-License-Identifier: Apache-2.0

package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/admin"
	"github.com/spanwire/spanwire/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() admin.Options {
	registry := prometheus.NewRegistry()
	metrics.NewHub(registry).Sockets.Set(7)
	return admin.Options{
		Gatherer: registry,
		Ready:    func() error { return nil },
		Status: func() admin.Status {
			return admin.Status{
				Replica: "r1", Cluster: "<c>", Version: "1.2.3", Uptime: 61 * time.Second, Replicas: []string{"r2"},
				Services: []admin.Service{{Name: "chat", Instances: []string{"a", "b"}}},
			}
		},
	}
}

func get(t *testing.T, o *admin.Options, path string) (code int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	admin.New(*o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

// Every path answers what operators and their machines look for.
func TestNew(t *testing.T) {
	o := options()
	for _, tt := range []struct {
		path string
		code int
		want []string
	}{
		{"/healthz", 200, []string{"ok"}},
		{"/readyz", 200, []string{"ready"}},
		{"/metrics", 200, []string{"spanwire_hub_sockets 7"}},
		{"/", 200, []string{"r1, up 1m1s", "&lt;c&gt;", "r2", "1.2.3", "chat: a, b", "hub sockets", ">7<", `href="/metrics"`}},
		{"/debug/pprof/", 404, []string{"setting profiling"}},
		{"/nowhere", 404, nil},
	} {
		code, body := get(t, &o, tt.path)
		if code != tt.code {
			t.Errorf("%s: %d", tt.path, code)
		}
		for _, want := range tt.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %q:\n%s", tt.path, want, body)
			}
		}
	}
}

// Programs read the page's content as JSON.
func TestNew_Status(t *testing.T) {
	o := options()
	_, body := get(t, &o, "/status")
	var s admin.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Replica != "r1" || s.Services[0].Instances[1] != "b" {
		t.Errorf("%v: %s", err, body)
	}
}

// A replica that is not ready says why, and stays healthy.
func TestNew_NotReady(t *testing.T) {
	o := options()
	o.Ready = func() error { return errors.New("this replica is draining") }
	if code, body := get(t, &o, "/readyz"); code != 503 || !strings.Contains(body, "not ready: this replica is draining") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, &o, "/healthz"); code != 200 {
		t.Errorf("health: %d", code)
	}
}

// Profiles are served when they are asked for.
func TestNew_Profiling(t *testing.T) {
	o := options()
	o.Profiling = true
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/symbol": 200, "/debug/pprof/cmdline": 404} {
		if code, _ := get(t, &o, path); code != want {
			t.Errorf("%s: %d", path, code)
		}
	}
	if _, body := get(t, &o, "/"); !strings.Contains(body, "/debug/pprof/") {
		t.Error("the page does not lead to the profiles")
	}
}

// What shows the replica's inside is wrapped, health and readiness are not.
func TestNew_Wrapped(t *testing.T) {
	o := options()
	o.Profiling = true
	refuse := func(code int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		}
	}
	o.Look, o.Operate = refuse(401), refuse(403)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 401, "/status": 401, "/metrics": 401, "/debug/pprof/": 403, "/debug/pprof/heap": 403, "/debug/pprof/profile": 403,
		"/debug/pprof/trace": 403, "/debug/pprof/symbol": 403, "/debug/pprof/cmdline": 403,
	} {
		if code, _ := get(t, &o, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// No page can use what is served here, and the page keeps its style.
func TestNew_Headers(t *testing.T) {
	o := options()
	for _, path := range []string{"/", "/metrics", "/status", "/healthz", "/nowhere"} {
		w := httptest.NewRecorder()
		admin.New(o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		h := w.Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
		if _, sheet, ok := strings.Cut(w.Body.String(), "<style>"); ok {
			sheet, _, _ = strings.Cut(sheet, "</style>")
			digest := sha256.Sum256([]byte(sheet))
			if !strings.Contains(csp, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(digest[:])+"'") {
				t.Errorf("%s does not allow the style sheet", csp)
			}
		}
	}
}
