// SPDX-License-Identifier: Apache-2.0

package broker

import "net/http"

// Where the body of a request ends must be unambiguous: a proxy in front that counts by
// Content-Length, and a server that counts by chunks, see a different next request on the
// connection, and its answer goes to another client. RFC 9112, section 6.1, so wants the connection
// closed after the answer to a request with both headers, and to one of HTTP/1.0 with
// Transfer-Encoding. net/http goes by the chunks, or by the length in HTTP/1.0, and removes the
// other header before a handler can see it. It refuses all else that is ambiguous, and closes then:
// lengths that differ or have a sign, other encodings, spaces before a colon.
//
// So every chunked request, and every one of HTTP/1.0, is the last on its connection. Clients of
// Socket.IO send neither.

// closeAfterUnclear makes such a request the last on its connection.
func closeAfterUnclear(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) {
			w = lastAnswer{w}
			w.Header().Set("Connection", "close") // for a handler that writes nothing
		}
		h.ServeHTTP(w, r)
	})
}

// lastAnswer closes the connection after the answer, also when the handler replaces the header.
type lastAnswer struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (l lastAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		l.Header().Set("Connection", "close")
	}
	l.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (l lastAnswer) Write(p []byte) (int, error) {
	l.Header().Set("Connection", "close") // of no effect when the header is written
	return l.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (l lastAnswer) Unwrap() http.ResponseWriter { return l.ResponseWriter }
