// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"bytes"
	"encoding/json"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// recoveryState is a socket's part in the recovery. A socket without one gets neither a private id
// nor offsets.
type recoveryState struct {
	record    *record
	recovered bool
	missed    []*hub.Delivery // to be written before the answer to the connect

	absence *hub.Absence // set when the socket left and may come back
	// of the two things to be done when it left: out of the hub, and reported to the services
	parted atomic.Int32
	left   chan struct{} // closed when both are done
}

// oldestWithRecovery is the first revision of Engine.IO whose clients know of recovery.
const oldestWithRecovery = 4

// issue gives the socket its id: the old one if its browser shows what it needs to come back, a new
// one otherwise. A socket that comes back is in the hub from now on, with its rooms, and what is
// for it is held until it is admitted.
func (s *Socket) issue() {
	server := s.client.server
	r := server.recovery
	if r == nil || s.client.session.Handshake().EngineProtocol < oldestWithRecovery {
		s.id = server.newSocketID()
		return
	}
	s.recovery = &recoveryState{left: make(chan struct{})}
	if pid, offset, auth, shown := claimFromPayload(s.auth); shown {
		s.auth = auth
		failure := s.comeBack(r, pid, offset)
		if failure == "" {
			return
		}
		server.metrics.Recoveries.With(failure).Inc()
		server.log.Debug("socket not recovered", "namespace", s.namespace, "session", s.client.session.Name(), "reason", failure)
	}
	s.id = server.newSocketID()
	s.recovery.record = &record{pid: sio.NewPrivateID(server.options.Engine.Replica), id: s.id, namespace: s.namespace}
}

// comeBack restores the socket of a private id, or tells why not.
func (s *Socket) comeBack(r *recovery, pid sio.PrivateID, offset string) (failure string) {
	rec, failure := r.claim(pid, s.namespace)
	if rec == nil {
		return failure
	}
	s.id = rec.id
	s.data.Store(rec.data)
	server := s.client.server
	missed, loss := server.hub.Restore(rec.absence, s, offset, server.options.Engine.MaxOutbound)
	if loss != hub.LossNone {
		r.forget(rec)
		return string(loss)
	}
	t := s.recovery
	t.record, t.missed, t.recovered = rec, missed, true
	return ""
}

// claimFromPayload takes what the browser shows to come back out of the payload of its connect: the
// rest is for the services, which have no use for a secret between browser and broker.
func claimFromPayload(payload []byte) (pid sio.PrivateID, offset string, rest []byte, shown bool) {
	if !bytes.Contains(payload, []byte(`"pid"`)) {
		return "", "", payload, false
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || json.Unmarshal(fields["pid"], &pid) != nil || pid == "" {
		return "", "", payload, false
	}
	if raw, given := fields["offset"]; given && json.Unmarshal(raw, &offset) != nil {
		offset = string(raw) // no text is no offset
	}
	delete(fields, "pid")
	delete(fields, "offset")
	if len(fields) == 0 {
		return pid, offset, nil, true
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(fields) != nil { // they have just been read
		return "", "", payload, false
	}
	return pid, offset, bytes.TrimSpace(text.Bytes()), true
}

// before is what the dispatcher knows of the socket that had the id before; nil when there was
// none.
func (s *Socket) before() *dispatch.Binding {
	if !s.recovered() {
		return nil
	}
	return s.recovery.record.last
}

// recovered tells whether the socket came back under its old id.
func (s *Socket) recovered() bool { return s.recovery != nil && s.recovery.recovered }

// admit makes the socket one that can come back. It is called under s.mu, in the step from pending
// to joining.
func (s *Socket) admit() {
	if s.recovery != nil {
		s.client.server.recovery.hold(s.recovery.record, s)
	}
}

// replay queues what the browser missed.
func (s *Socket) replay() {
	if !s.recovered() {
		return
	}
	m := s.client.server.metrics
	m.Recoveries.With(outcomeRecovered).Inc()
	m.Replayed.Add(float64(len(s.recovery.missed)))
	for _, d := range s.recovery.missed {
		s.write(d)
	}
	s.recovery.missed = nil
}

// appendConnect appends the answer to the connect.
func (s *Socket) appendConnect(dst []byte) []byte {
	var pid sio.PrivateID
	if s.recovery != nil {
		pid = s.recovery.record.pid
	}
	return s.client.protocol().appendConnect(dst, s.namespace, s.id, pid)
}

// depart takes the socket out of the hub, and tells in which rooms it was. parting must follow.
func (s *Socket) depart(reason sio.Reason) (rooms []sio.Room) {
	h, t := s.client.server.hub, s.recovery
	if t != nil {
		r := s.client.server.recovery
		if lasting(reason) && r.knows(t.record) {
			t.absence = h.Cut(s.namespace, s.id)
		}
		if t.absence != nil {
			return t.absence.Rooms()
		}
		r.forget(t.record)
	}
	return h.Remove(s.namespace, s.id)
}

// parting says that one of two things is done: the socket departed, or the services know that it
// did. After the second it may come back: so the services hear of its end before they hear of its
// return.
func (s *Socket) parting(done int32) {
	const both = 2
	t := s.recovery
	if t == nil || t.parted.Add(done) < both {
		return
	}
	if t.absence != nil {
		s.mu.Lock()
		last := s.binding
		s.mu.Unlock()
		s.client.server.recovery.keep(t.record, t.absence, last, s.data.Load())
	}
	close(t.left)
}
