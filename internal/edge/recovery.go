// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"container/list"
	"sync"
	"time"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// recovery lets sockets come back under their old id after the loss of a connection, with what they
// missed. It is nil when the setting recovery is 0.
//
// A browser gets a private id with the answer to its connect, and shows it when it connects
// again. A record of it goes round:
//
//	live     a socket holds it; a browser that shows the private id ends that socket, and the
//	         record
//	         is
//	absent   the socket was cut off, until the time of the setting is over
//	claimed  a new socket waits for the services' decision: no other gets it meanwhile. If the
//	         socket is admitted the record is live
//	         again; if it is refused or lost, absent as before
//
// and is forgotten when the socket ends for a reason that is final.
type recovery struct {
	// fixed at birth
	server *Server
	window time.Duration
	limit  int // of absent records

	mu      sync.Mutex // guards the fields below, and those of the records
	records map[sio.PrivateID]*record
	absent  list.List   // of records, the one to expire next first
	timer   *time.Timer // rings when that one expires; nil while there is none
}

// record is what is kept of one socket. What else shall survive a cut belongs here.
type record struct {
	// fixed at birth
	pid       sio.PrivateID
	id        sio.SocketID
	namespace sio.Namespace

	// guarded by recovery.mu
	live    *Socket           // set while live
	last    *dispatch.Binding // of the last socket
	absence *hub.Absence
	data    *sio.Data     // what handlers kept with the last socket; may be nil
	expires time.Time     // of an absent or claimed one
	element *list.Element // in absent; nil while live or claimed
}

// Why a recovery failed, beside the losses of the hub. They are metric labels.
const (
	// failedUnknown is a private id that is not known, or not any more, or of another namespace.
	failedUnknown = "unknown"
	// failedExpired is a private id whose time is over.
	failedExpired = "expired"
	// failedClaimed is a private id that another connect uses at the same time.
	failedClaimed = "claimed"
	// outcomeRecovered is a socket that came back.
	outcomeRecovered = "recovered"
)

func newRecovery(s *Server) *recovery {
	if s.options.Recovery <= 0 {
		return nil
	}
	return &recovery{
		server: s, window: s.options.Recovery, limit: s.options.RecoverySessions, records: make(map[sio.PrivateID]*record),
	}
}

// lasting tells whether a socket that ended for the reason may come back.
func lasting(reason sio.Reason) bool {
	switch reason {
	case sio.ReasonTransportClose, sio.ReasonTransportError, sio.ReasonPingTimeout, sio.ReasonForcedClose, sio.ReasonForcedServerClose,
		sio.ReasonServerShuttingDown, sio.ReasonSlowConsumer:
		return true
	case sio.ReasonParseError, sio.ReasonClientDisconnect, sio.ReasonServerDisconnect, sio.ReasonPayloadTooLarge:
	}
	return false
}

// claim gives the record of a private id to one caller. A socket that holds it is ended first: its
// browser has a new connection, and the loss of the old one was not noticed yet.
func (r *recovery) claim(pid sio.PrivateID, ns sio.Namespace) (rec *record, failure string) {
	rec, live, failure := r.tryClaim(pid, ns)
	if live == nil {
		return rec, failure
	}
	live.leave(sio.ReasonForcedServerClose)
	<-live.recovery.left // or it was leaving already
	live.client.session.CloseNoted(sio.ReasonForcedServerClose, noticeResumed)
	if rec, live, failure = r.tryClaim(pid, ns); live != nil {
		return nil, failedClaimed // another was faster, and is in already
	}
	return rec, failure
}

func (r *recovery) tryClaim(pid sio.PrivateID, ns sio.Namespace) (rec *record, live *Socket, failure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec = r.records[pid]
	switch {
	case rec == nil || rec.namespace != ns:
		return nil, nil, failedUnknown
	case rec.live != nil:
		return nil, rec.live, ""
	case rec.element == nil:
		return nil, nil, failedClaimed
	case !time.Now().Before(rec.expires): // and the timer is late
		return nil, nil, failedExpired
	}
	r.unlistLocked(rec)
	return rec, nil, ""
}

// hold makes the record live. It is called when the socket is admitted, before any notification.
func (r *recovery) hold(rec *record, s *Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.live, rec.absence, rec.last = s, nil, nil
	r.records[rec.pid] = rec
}

// keep makes a live or claimed record absent. A claimed one keeps the time that it had.
func (r *recovery) keep(rec *record, absence *hub.Absence, last *dispatch.Binding, data *sio.Data) {
	r.mu.Lock()
	rec.data = data
	if last != nil { // else the services did not hear of this one
		rec.last = last
	}
	if rec.live != nil {
		rec.expires = time.Now().Add(r.window)
	}
	rec.live, rec.absence = nil, absence
	r.listLocked(rec)
	var dropped *record
	if r.absent.Len() > r.limit {
		dropped = r.absent.Front().Value.(*record)
		r.unlistLocked(dropped)
		delete(r.records, dropped.pid)
	}
	r.armLocked()
	r.mu.Unlock()
	if dropped != nil {
		r.server.metrics.RecoveryOverflows.Inc()
		r.server.noteLimit("recovery-max-sessions", "the socket that was cut off first may not come back: more than recovery-max-sessions were cut off")
		r.server.hub.Forget(dropped.absence)
	}
}

// forget says that the record's socket does not come back. The absence, if there was one, is the
// caller's.
func (r *recovery) forget(rec *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.live = nil
	if r.records[rec.pid] == rec {
		delete(r.records, rec.pid)
	}
}

// knows tells whether the record was ever live: one that was never admitted has nothing to come
// back to.
func (r *recovery) knows(rec *record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[rec.pid] == rec
}

// listLocked puts the record where its time is. It belongs at the end, unless it was claimed
// meanwhile.
func (r *recovery) listLocked(rec *record) {
	at := r.absent.Back()
	for at != nil && at.Value.(*record).expires.After(rec.expires) {
		at = at.Prev()
	}
	if at == nil {
		rec.element = r.absent.PushFront(rec)
	} else {
		rec.element = r.absent.InsertAfter(rec, at)
	}
	r.server.metrics.Recoverable.Inc()
}

func (r *recovery) unlistLocked(rec *record) {
	r.absent.Remove(rec.element)
	rec.element = nil
	r.server.metrics.Recoverable.Dec()
}

// armLocked sets the timer for the record that expires next. It runs on the runtime's goroutine and
// ends by itself once nobody is absent.
func (r *recovery) armLocked() {
	if r.timer == nil && r.absent.Len() > 0 {
		r.timer = time.AfterFunc(time.Until(r.absent.Front().Value.(*record).expires), r.expire)
	}
}

func (r *recovery) expire() {
	r.mu.Lock()
	r.timer = nil
	var expired []*hub.Absence
	for now := time.Now(); r.absent.Len() > 0; {
		rec := r.absent.Front().Value.(*record)
		if now.Before(rec.expires) {
			break
		}
		r.unlistLocked(rec)
		delete(r.records, rec.pid)
		expired = append(expired, rec.absence)
	}
	r.armLocked()
	r.mu.Unlock()
	for _, a := range expired {
		r.server.hub.Forget(a)
	}
}
