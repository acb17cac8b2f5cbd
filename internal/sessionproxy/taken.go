// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"crypto/tls"
	"net/http"
	"strings"
)

// What the replicas say to each other, in two headers that the listener for forwarded requests
// alone looks at. All else is the browser's own request: its address line, its Host and its
// headers, those of proxies in front included, which the owner believes or not by its own settings.
const (
	// requestHeader is on a forwarded request: a token, http or https as the browser came, and the
	// address that it came from.
	requestHeader = "X-Spanwire-Forwarded"
	// answerHeader is on the answer: a token. To a WebSocket handshake it comes ahead, in an answer
	// of its own with status 103, since the answer that follows is written by who takes the
	// connection over.
	answerHeader = "X-Spanwire-Owner"
)

const (
	plainScheme  = "http"
	secureScheme = "https"
	// wakeScheme stands there in the one request that is no browser's, see drain.go. Where the
	// browser's address would be, it says how many milliseconds the owner has to drain the sessions
	// (leave.go), or noTime when only their polling requests are to be answered.
	wakeScheme = "wake"
)

// sender is what a forwarded request says of the one who sent it here.
func sender(token string, r *http.Request) string {
	scheme := plainScheme
	if r.TLS != nil {
		scheme = secureScheme
	}
	return token + " " + scheme + " " + r.RemoteAddr
}

// Taken is the handler of the listener where other replicas hand requests over. It gives them to
// the browsers' entry point as if their browsers had come there, and refuses what does not show the
// secret.
func (f *Forwarder) Taken() http.Handler {
	expected := token(&f.o, forRequests, f.o.Replica)
	proof := token(&f.o, forAnswers, f.o.Replica)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, rest, _ := strings.Cut(r.Header.Get(requestHeader), " ")
		scheme, address, ok := strings.Cut(rest, " ")
		if !same(shown, expected) || !ok {
			f.metrics.Unauthenticated.Inc()
			if ok, suppressed := f.quiet.Allow("denied"); ok {
				f.log.Warn("unauthenticated request at forward-address rejected", "address", r.RemoteAddr,
					"setting", "cluster-secret", "suppressed", suppressed)
			}
			http.Error(w, "This address is for the other replicas of the cluster.", http.StatusForbidden)
			return
		}
		if scheme == wakeScheme {
			f.asked(w, r, address)
			return
		}
		f.metrics.Received.Inc()
		delete(r.Header, requestHeader)
		r.RemoteAddr, r.TLS = address, nil
		if scheme == secureScheme {
			r.TLS = new(tls.ConnectionState)
		}
		w.Header().Set(answerHeader, proof)
		if isWebSocket(r) {
			w.WriteHeader(http.StatusEarlyHints)
		}
		f.next.ServeHTTP(w, r)
	})
}
