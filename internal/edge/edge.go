// SPDX-License-Identifier: Apache-2.0

// Package edge is the browsers' entry point: it serves Socket.IO over HTTP. A client is one session
// with the sockets on it; a Socket is one client in one namespace, which the hub delivers to and
// the dispatcher takes events of. The edge knows the rules of namespaces, connects and acks, and
// leaves bytes to engineio and packets to socketio. It never decides which service gets an event.
package edge

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge/engineio"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Server is an http.Handler for the Engine.IO paths and the browser client under them.
type Server struct {
	// fixed at birth
	options    Options
	limits     socketio.Limits
	explained  map[string]limit // by cause of the breach
	hub        *hub.Hub
	dispatcher *dispatch.Dispatcher
	metrics    *metrics.Edge
	log        *slog.Logger
	engine     *engineio.Server
	bundle     *bundle
	birth      time.Time
	recovery   *recovery // nil when no socket can come back

	// bytes of packets whose attachments have not all come, of all clients
	unfinished atomic.Int64
	quiet      loglimit.ByReason // a line a second for each cause
	minutely   loglimit.ByReason // a line a minute, of what goes on for hours
}

// New makes a Server. The options are those of DefaultOptions with changes that Validate finds no
// fault with.
func New(o Options, h *hub.Hub, d *dispatch.Dispatcher, m *metrics.Edge, engine engineio.Observer, log *slog.Logger) *Server {
	s := &Server{
		options:    o,
		limits:     o.limits(),
		explained:  newLimits(&o),
		hub:        h,
		dispatcher: d,
		metrics:    m,
		log:        log,
		bundle:     newBundle(o.Engine.Paths),
		birth:      time.Now(),
		quiet:      loglimit.ByReason{PerSecond: 1},
		minutely:   loglimit.ByReason{PerSecond: 1, Window: time.Minute},
	}
	s.recovery = newRecovery(s)
	s.engine = engineio.NewServer(o.Engine, s.open, engine, log)
	return s
}

// open is called for each new session.
func (s *Server) open(session *engineio.Session) engineio.Receiver { return newClient(s, session) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := s.bundle.serves(r.URL.Path); ok && s.options.ServeClient {
		s.metrics.Bundles.Inc()
		s.bundle.serve(w, r, name)
		return
	}
	s.engine.ServeHTTP(w, r)
}

// Drain opens no more sessions, closes all with ReasonServerShuttingDown and waits until they are
// gone, at most until ctx ends.
func (s *Server) Drain(ctx context.Context) error { return s.engine.Drain(ctx) }

// Wake answers the request of a polling session that waits for packets, if one does: the way that
// it came is about to end.
func (s *Server) Wake(id sio.SessionID) { s.engine.Wake(id) }

// DrainSession closes one session on a WebSocket with ReasonServerShuttingDown when all that it
// took is answered, within the time: the way that it came is about to end.
func (s *Server) DrainSession(id sio.SessionID, within time.Duration) {
	s.engine.DrainSession(id, within)
}

// newSocketID draws an id that tells nothing of the session's.
func (s *Server) newSocketID() sio.SocketID { return sio.NewSocketID(s.options.Engine.Replica) }
