// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"net/http"
	"net/http/httputil"
)

// tellMisses has the browsers' listener count and log requests that nobody serves. With a web application those are the requests of Socket.IO
// clients that it does not know either; an application may serve Socket.IO of its own.
func (b *Broker) tellMisses(app http.Handler) http.Handler {
	if proxy, ok := app.(*httputil.ReverseProxy); ok {
		proxy.ModifyResponse = func(response *http.Response) error {
			if response.StatusCode == http.StatusNotFound {
				b.edge.NotServed(response.Request, true)
			}
			return nil
		}
		return proxy
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.edge.NotServed(r, false)
		app.ServeHTTP(w, r)
	})
}
