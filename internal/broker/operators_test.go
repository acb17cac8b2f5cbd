// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/metrics"
)

// Metrics and profiles are for programs on this machine and those who show that they may; pages of
// other origins get neither.
func TestOperators(t *testing.T) {
	file := filepath.Join(t.TempDir(), "callers.yaml")
	if err := os.WriteFile(file, []byte("callers:\n- {name: a, certificates: [oncall], may: [operate]}\n- {name: b, tokens: [namespace-long-secret], namespaces: [/chat]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	named, err := auth.Open([]string{"master-long-secret"}, file)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := auth.Open(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	const loopback, outside = "127.0.0.1:1234", "192.0.2.1:1234"
	for name, c := range map[string]struct {
		callers       *auth.Callers
		insecure      bool
		from          string
		certificate   string
		header, value string
		look, operate int
	}{
		"loopback":                         {nobody, false, loopback, "", "", "", 200, 200},
		"loopback by IPv6":                 {named, false, "[::1]:1234", "", "", "", 200, 200},
		"loopback mapped":                  {named, false, "[::ffff:127.0.0.1]:1234", "", "", "", 200, 200},
		"outside":                          {nobody, false, outside, "", "", "", 401, 401},
		"outside, insecure":                {nobody, true, outside, "", "", "", 200, 401},
		"outside, insecure, token":         {named, true, outside, "", "Authorization", "Bearer master-long-secret", 200, 200},
		"certificate, nobody is named":     {nobody, false, outside, "any", "", "", 200, 200},
		"certificate that is not named":    {named, false, outside, "any", "", "", 200, 401},
		"certificate that is named":        {named, false, outside, "oncall", "", "", 200, 200},
		"wrong token beside a certificate": {named, false, outside, "any", "Authorization", "Bearer wrong", 401, 401},
		"token":                            {named, false, outside, "", "Authorization", "Bearer master-long-secret", 200, 200},
		"token of one namespace":           {named, false, outside, "", "Authorization", "Bearer namespace-long-secret", 403, 403},
		"page of another site":             {nobody, false, loopback, "", "Sec-Fetch-Site", "cross-site", 403, 403},
		"page of another port":             {nobody, false, loopback, "", "Sec-Fetch-Site", "same-site", 403, 403},
		"own page":                         {nobody, false, loopback, "", "Sec-Fetch-Site", "same-origin", 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			o := &operators{callers: c.callers, insecure: c.insecure, guard: &guard{
				rejected: metrics.NewListener(nil).Rejected.Of("listener", "operators"), log: slog.New(slog.DiscardHandler),
			}}
			ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			for want, h := range map[*int]http.Handler{&c.look: o.look(ok), &c.operate: o.operate(ok)} {
				r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
				r.RemoteAddr = c.from
				if c.header != "" {
					r.Header.Set(c.header, c.value)
				}
				if c.certificate != "" {
					leaf := &x509.Certificate{Subject: pkix.Name{CommonName: c.certificate}}
					r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != *want {
					t.Errorf("look %v: %d %s, want %d", want == &c.look, w.Code, w.Body, *want)
				}
			}
		})
	}
}
