// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"strings"
)

const causePath = "path"

// refusedPath is for requests under a path of sessions that are at none of them. It names the
// paths, since a slash too few is the usual fault.
func (s *Server) refusedPath(r *http.Request) *refusal {
	why := &refusal{code: codeBadRequest, status: http.StatusNotFound, cause: causePath, setting: "path",
		message: "Nothing is served at this path, see the setting path"}
	why.say = s.pathAdvice(r)
	return why
}

func (s *Server) pathAdvice(r *http.Request) string {
	if asksSocketIO(r) {
		return "the client's option path is not what the setting path serves (" + strings.Join(s.o.Paths, ", ") + "); give both the same"
	}
	return "nothing is served at this path"
}

// asksSocketIO tells whether a request seems to be of a Socket.IO client.
func asksSocketIO(r *http.Request) bool {
	query := r.URL.RawQuery
	return strings.Contains(query, "EIO=") || strings.Contains(query, "transport=polling") || strings.Contains(query, "transport=websocket") ||
		isUpgrade(r)
}

// NotServed counts and logs a request that is answered elsewhere with 404: of a Socket.IO client
// that looks for it at another path, or of a browser that looks for a page. With upstream a web
// application answered, and pages are its matter.
func (s *Server) NotServed(r *http.Request, upstream bool) {
	if upstream && !asksSocketIO(r) {
		return
	}
	s.obs.Refused(causePath)
	why := &refusal{cause: causePath, say: "nothing is served at this path; --upstream names a web application that serves pages"}
	if asksSocketIO(r) {
		why = s.refusedPath(r)
	}
	s.logRefusal(r, why)
}
