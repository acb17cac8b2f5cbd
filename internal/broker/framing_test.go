// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A chunked request and one of HTTP/1.0 must be the last on their connection, however the handler
// answers.
func TestCloseAfterUnclear(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"body":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"flush":   func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"header replaced": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Connection")
			w.WriteHeader(http.StatusOK)
		},
		"header replaced, body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "keep-alive")
			_, _ = io.WriteString(w, "x")
		},
		"hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Connection")
			w.WriteHeader(http.StatusOK)
		},
	}
	for name, h := range handlers {
		for how, want := range map[string]bool{"no body": false, "length": false, "chunked": true} {
			server := httptest.NewServer(closeAfterUnclear(h))
			var body io.Reader
			switch how {
			case "length":
				body = strings.NewReader("x")
			case "chunked":
				body = io.MultiReader(strings.NewReader("x"))
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.Close != want {
				t.Errorf("%s, %s: closes: %v", name, how, answer.Close)
			}
			server.Close()
		}
	}
}
