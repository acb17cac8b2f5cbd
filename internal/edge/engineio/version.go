// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"net/http"
	"net/url"
	"strings"
)

// A request that opens a session and is of no client that is accepted: of an older one, or of none
// of Socket.IO. Older clients also lack what newer ones send, so that their revision is looked at
// before what else is wrong.

const settingEIO3 = "allow-eio3"

// versionWrong is a refusal for the key EIO. Older clients read the message, so it is always the
// same.
func versionWrong(setting, say string) *refusal {
	return &refusal{code: codeVersion, status: http.StatusBadRequest, message: "Unsupported protocol version", cause: "protocol version",
		setting: setting, say: say}
}

var (
	refusedVersion = versionWrong("", "the client asks by EIO for a revision of Engine.IO that is not spoken here: 4 is, for clients of Socket.IO 3 and "+
		"later, and 3 with the setting allow-eio3")
	refusedRevision3 = versionWrong(settingEIO3, "EIO=3 is a client of Socket.IO 1 or 2: set allow-eio3 to let it in, or use a client of version 3 or later")
	refusedNoEIO     = versionWrong(settingEIO3, "EIO is missing: a client of Socket.IO 1 (set allow-eio3 to let it in), or no Socket.IO client at all")
	refusedForeign   = versionWrong(settingEIO3, "EIO and transport are missing: no Socket.IO client, for example a plain WebSocket client; use a "+
		"Socket.IO client (allow-eio3 lets those of version 1 and 2 in)")
	refusedNoTransport = &refusal{code: codeTransport, status: http.StatusBadRequest, message: "Transport unknown", cause: "transport unknown",
		say: "the request names no transport: no Socket.IO client, for example a plain WebSocket client"}
	refusedNoSuchTransport = &refusal{code: codeTransport, status: http.StatusBadRequest, message: "Transport unknown", cause: "transport unknown",
		say: "the request names a transport that is none of " + strings.Join(transportNames(), ", ") + ": no Socket.IO client, or a proxy altered the query"}
)

// refusedKind refuses a request that names no transport, or none that is offered.
func (s *Server) refusedKind(r *http.Request, query url.Values, t Transport) *refusal {
	switch {
	case query.Has("transport") && !t.known():
		return refusedNoSuchTransport
	case query.Has("transport") && !s.o.offers(t):
		return refusedTransport
	case query.Has("transport"):
		return nil
	case r.Method == http.MethodGet && !query.Has("sid") && s.codecFromQuery(query) == nil:
		return s.versionRefused(query, true)
	}
	return refusedNoTransport
}

// versionRefused says which clients are accepted. One that does not get through to a WebSocket
// anyway hears that its request is bad.
func (s *Server) versionRefused(query url.Values, heard bool) *refusal {
	why := refusedVersion
	switch {
	case s.o.AllowEIO3:
	case single(query, "EIO") == "3":
		why = refusedRevision3
	case !query.Has("EIO") && !query.Has("transport"):
		why = refusedForeign
	case !query.Has("EIO"):
		why = refusedNoEIO
	}
	if heard {
		return why
	}
	bad := *why
	bad.code, bad.message = codeBadRequest, refusedNoUpgrade.message
	return &bad
}
