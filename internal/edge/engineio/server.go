// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/spanwire/spanwire/api/querystring"
	"github.com/spanwire/spanwire/internal/edge/budget"
	"github.com/spanwire/spanwire/internal/edge/wsconn"
	"github.com/spanwire/spanwire/internal/hijack"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/sio"
)

// Server is an http.Handler for its paths, and no others.
type Server struct {
	// Fixed at birth.
	o        Options
	open     func(*Session) Receiver
	obs      Observer
	log      *slog.Logger
	origins  *origins
	upgrader *wsconn.Upgrader
	birth    time.Time

	tooLarge *fault
	tooMany  *fault

	budget *budget.Budget
	relief relief

	quiet    loglimit.ByReason // a line a second for each cause
	minutely loglimit.ByReason // a line a minute, of what goes on for hours
	losses   losses

	mu       sync.Mutex // guards the fields below
	sessions map[sio.SessionID]*Session
	draining bool
	room     room
	running  int           // sessions and goroutines that Drain waits for
	empty    chan struct{} // closed when running has come to 0 while draining
}

// NewServer makes a Server. The options are those of DefaultOptions with changes that Validate
// finds no fault with. open is called for each new session, before its first message; it may
// already queue.
func NewServer(o Options, open func(*Session) Receiver, obs Observer, log *slog.Logger) *Server {
	s := &Server{
		o: o, open: open, obs: obs, log: log, origins: newOrigins(&o), birth: time.Now(),
		sessions: make(map[sio.SessionID]*Session), empty: make(chan struct{}), quiet: loglimit.ByReason{PerSecond: 1},
		minutely: loglimit.ByReason{PerSecond: 1, Window: time.Minute},
		tooLarge: tooLarge(&o), tooMany: tooMany(&o),
	}
	s.budget = budget.New(o.MaxOutboundTotal, s.relieve, obs.Outbound)
	s.upgrader = wsconn.NewUpgrader(wsconn.Options{
		MaxMessage: o.MaxPayload, TooLarge: closeText(s.tooLarge.why.message), MaxOutbound: o.MaxOutbound, WriteTimeout: o.WriteTimeout,
		Budget:  s.budget,
		Deflate: o.WebSocketCompression,
		Refuse: func(w http.ResponseWriter, r *http.Request, _ int, err error) {
			w.Header().Del("Set-Cookie")
			w.Header().Set("Sec-Websocket-Version", "13")
			why := *refusedHandshake
			why.say = err.Error() // of the handshake's form; it quotes nothing
			if errors.Is(err, hijack.ErrEarly) {
				why = *refusedEarly
			}
			s.refuse(w, r, &why)
		},
	})
	return s
}

// ServeHTTP implements http.Handler. The order of its checks is the protocol's, with the origin
// before all.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(s.o.Paths, r.URL.Path) {
		s.refuse(w, r, s.refusedPath(r))
		return
	}
	if !s.allow(w, r) || s.preflight(w, r) {
		return
	}
	query := querystring.Parse(r.URL.RawQuery)
	t, upgrade := Transport(single(query, "transport")), isUpgrade(r)
	if why := s.refusedKind(r, query, t); why != nil {
		s.refuse(w, r, why)
		return
	}
	if query.Has("sid") {
		s.serveSession(w, r, query, t, upgrade)
		return
	}
	codec := s.codecFromQuery(query)
	switch {
	case r.Method != http.MethodGet:
		s.refuse(w, r, refusedMethod)
	case codec == nil:
		s.refuse(w, r, s.versionRefused(query, upgrade || t == Polling))
	case t != Polling && !upgrade:
		s.refuse(w, r, refusedNoUpgrade)
	case upgrade && t == Polling:
		s.refuse(w, r, refusedHandshake)
	default:
		s.openSession(w, r, t, codec, query)
	}
}

// openSession opens a session if there is room for it.
func (s *Server) openSession(w http.ResponseWriter, r *http.Request, t Transport, codec codec, query url.Values) {
	if t == Polling && query.Has("j") {
		if codec = s.jsonpFromQuery(query, codec); codec == nil {
			s.refuse(w, r, refusedJSONP)
			return
		}
	}
	c := s.callerFromRequest(r)
	if why := s.enterRoom(c.address); why != nil {
		s.refuse(w, r, why)
		return
	}
	session := s.newSession(s.newHandshake(r, &c, t), codec)
	opened := false
	if t != Polling {
		opened = s.openDuplex(w, r, session, t, codec.framing(asksBase64(query)))
	} else {
		opened = s.openPolling(w, r, session)
	}
	if !opened {
		s.leaveRoom(c.address)
	}
}

// serveSession serves a request that names a session.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, query url.Values, t Transport, upgrade bool) {
	session := s.session(sio.SessionID(single(query, "sid")))
	if session != nil && session.Transport() == Polling && session.overdue() {
		session.end(sio.ReasonPingTimeout, endNow)
		session = nil
	}
	switch {
	case session == nil:
		s.refuse(w, r, refusedSession)
	case !session.speaks(query):
		s.refuse(w, r, refusedRevision)
	case t != Polling && !upgrade && r.Method == http.MethodGet:
		s.refuse(w, r, refusedNoUpgrade)
	case upgrade && t == Polling:
		s.refuse(w, r, refusedMismatch)
	case upgrade && !s.o.AllowUpgrades:
		s.refuse(w, r, refusedUpgrade)
	case upgrade:
		session.upgrade(w, r, t, session.codec.framing(asksBase64(query)))
	case t != session.Transport():
		s.refuse(w, r, refusedMismatch)
	case r.Method == http.MethodGet && t == Polling:
		session.get(w, r)
	case r.Method == http.MethodPost && t == Polling:
		session.post(w, r)
	case t != Polling:
		s.refuse(w, r, refusedHandshake)
	default:
		w.Header().Set("Allow", "GET, POST")
		s.refuse(w, r, refusedVerb)
	}
}

// openPolling opens a session of a GET and answers with its open packet. It tells whether the
// server got to know the session.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request, session *Session) bool {
	open := append([]byte{byte(PacketOpen)}, s.openData(session.id, Polling)...)
	session.polling = &polling{budget: s.budget, out: []outgoing{{data: open}}}
	if !s.add(session) {
		s.refuse(w, r, refusedDraining)
		return false
	}
	s.setCookie(w, session.id)
	session.start(s.open)
	session.get(w, r)
	return true
}

// single is the value of a key that occurs once.
func single(query url.Values, key string) string {
	if values := query[key]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// Wake answers the GET of a polling session that waits, if one does: the way that it came is about
// to end.
func (s *Server) Wake(id sio.SessionID) {
	if session := s.session(id); session != nil {
		session.wake()
	}
}

// now is the server's clock, which is never 0.
func (s *Server) now() int64 { return int64(time.Since(s.birth)) + 1 }

// add makes a session known that was admitted, unless the server drains.
func (s *Server) add(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.sessions[session.id] = session
	s.room.opening--
	s.running++
	return true
}

// session finds a session. What has not the form of an id is not looked for.
func (s *Server) session(id sio.SessionID) *Session {
	if _, ok := id.Replica(); !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *Server) remove(session *Session) {
	s.mu.Lock()
	_, known := s.sessions[session.id]
	delete(s.sessions, session.id)
	if known {
		s.countAddressLocked(session.handshake.Address, -1)
	}
	s.mu.Unlock()
	if known {
		s.leave()
	}
}

// enter and leave count a goroutine that Drain waits for. The caller of enter knows of something
// that has not left yet.
func (s *Server) enter() {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
}

func (s *Server) leave() {
	s.mu.Lock()
	s.running--
	if s.running == 0 && s.draining {
		close(s.empty)
	}
	s.mu.Unlock()
}
