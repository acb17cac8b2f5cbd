// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// besides carries the order out, and collects the answer without holding up what the instance sends
// next, unless it is there already.
func (in *Instance) besides(m *spanwirev1.Command, o order) {
	select {
	case in.ackWaits <- struct{}{}:
	default:
		in.conclude(m, &spanwirev1.Answer{Fault: &spanwirev1.Fault{
			Code:    spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE,
			Message: fmt.Sprintf("%d commands of this instance wait for answers already (setting max-ack-waits)", cap(in.ackWaits)),
		}})
		return
	}
	ctx, cancel := context.WithTimeout(in.ctx, o.timeout)
	end := func() {
		cancel()
		<-in.ackWaits
	}
	collect, waits := in.server.begin(ctx, &o)
	var parts [][]byte
	if !waits {
		if parts = in.partsOf(m, in.server.tellOthers(&o, collect())); in.answerAtOnce(parts) {
			end()
			return
		}
	}
	in.server.running.Add(1)
	go func() { // ends when the answer was taken, or with the stream; asking ends with the timeout
		defer in.server.running.Done()
		defer end()
		if waits {
			parts = in.partsOf(m, in.server.tellOthers(&o, collect()))
		}
		in.answerPatiently(parts)
	}()
}

func (s *Server) queryTimeout(m *spanwirev1.Command) time.Duration {
	if ms := max(m.GetFetchSockets().GetTimeoutMs(), m.GetListRooms().GetTimeoutMs()); ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return s.o.QueryTimeout
}

// queryOf translates a query that only asks, or says what is wrong with it.
func (s *Server) queryOf(m *spanwirev1.Command, credentials bool) (sio.Query, error) {
	o := &s.o
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_FetchSockets:
		t, err := targetOf("fetch sockets", c.FetchSockets.GetTarget())
		switch {
		case err != nil:
			return nil, err
		case t.Pattern:
			return nil, sio.E(sio.CodeInvalid, "fetch sockets", "its target is a pattern; ask for one namespace at a time")
		}
		limit := o.MaxQueryResults
		if n := int(c.FetchSockets.GetLimit()); n > 0 && n < limit {
			limit = n
		}
		return &sio.FetchSockets{Target: t, Limit: limit, Credentials: credentials}, nil
	case *spanwirev1.Command_ListRooms:
		ns := namespaceOf(c.ListRooms.GetNamespace())
		if err := checkNamespace("list rooms", ns); err != nil {
			return nil, err
		}
		return &sio.ListRooms{
			Namespace: ns, IncludeOwn: c.ListRooms.GetIncludeOwn(), Local: c.ListRooms.GetLocal(), Limit: o.MaxQueryResults,
		}, nil
	}
	return nil, errUnknownCommand
}

func (s *Server) setDataOf(m *spanwirev1.SetData) (sio.Query, error) {
	const op = "set data"
	o := &s.o
	ns := namespaceOf(m.GetNamespace())
	if err := checkNamespace(op, ns); err != nil {
		return nil, err
	}
	q := &sio.SetData{Namespace: ns, Socket: sio.SocketID(m.GetSocketId()), IfVersion: m.GetIfVersion()}
	if len(m.GetData()) == 0 {
		return q, nil
	}
	if n := len(m.GetData()); n > o.MaxSocketData {
		s.metrics.DataTooLarge.Inc()
		return nil, sio.E(sio.CodeTooLarge, op, fmt.Sprintf("%d bytes are more than the %d that are kept with a socket (setting max-socket-data)",
			n, o.MaxSocketData))
	}
	var err error
	if q.Data, err = jsonValue(m.GetData(), o.MaxDepth); err != nil {
		return nil, sio.E(sio.CodeInvalid, op, fmt.Sprintf("what is given as data %v", err))
	}
	return q, nil
}

func errNoID(op string) error {
	return sio.E(sio.CodeInvalid, op, "it needs a command id, or the answer would reach nobody")
}

// foundOf translates what was found.
func foundOf(q sio.Query, f *sio.Found, err error) *spanwirev1.Answer {
	a := &spanwirev1.Answer{Sockets: uint32(f.Reached), Truncated: f.Truncated, SilentReplicas: silentIn(f.Silent, err), Fault: faultOf(err)}
	switch q := q.(type) {
	case *sio.FetchSockets:
		for i := range f.Sockets {
			a.Found = append(a.Found, socketInfoOf(&f.Sockets[i], q.Credentials))
		}
	case *sio.ListRooms:
		for _, r := range f.Rooms {
			a.Rooms = append(a.Rooms, &spanwirev1.RoomInfo{Name: string(r.Name), Sockets: uint32(r.Sockets)})
		}
	case *sio.SetData:
		switch {
		case f.Set != nil:
			a.DataVersion = f.Set.Version
			if f.Conflict {
				a.Data = f.Set.Value
				a.Fault = &spanwirev1.Fault{
					Code:    spanwirev1.FaultCode_FAULT_CODE_CONFLICT,
					Message: fmt.Sprintf("set data: the data has version %d, not %d", f.Set.Version, q.IfVersion),
				}
			}
		case err == nil:
			a.Fault = faultOf(sio.E(sio.CodeNotFound, "set data", "the socket is not connected (any more)"))
		}
	}
	return a
}

func socketInfoOf(s *sio.SocketInfo, credentials bool) *spanwirev1.SocketInfo {
	x := &spanwirev1.SocketInfo{
		SocketId: string(s.ID), Rooms: stringsOf(s.Rooms), Handshake: handshakeOf(s.Handshake, s.Auth, credentials),
		Data: s.Data.Value, DataVersion: s.Data.Version, Replica: string(s.Replica), Transport: s.Transport,
	}
	for _, w := range s.Waiting {
		x.Waiting = append(x.Waiting, &spanwirev1.SocketWait{Service: string(w.Service), Events: uint32(w.Events), Unread: w.Unread})
	}
	return x
}

func stringsOf[T ~string](names []T) []string {
	if len(names) == 0 {
		return nil
	}
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return all
}
