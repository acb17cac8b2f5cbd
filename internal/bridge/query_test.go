// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

func fetch(id uint64, m *spanwirev1.FetchSockets) *spanwirev1.Action {
	return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_FetchSockets{FetchSockets: m}})
}

func listRooms(id uint64, m *spanwirev1.ListRooms) *spanwirev1.Action {
	return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_ListRooms{ListRooms: m}})
}

func setData(id uint64, m *spanwirev1.SetData) *spanwirev1.Action {
	return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_SetData{SetData: m}})
}

func joins(socket string, rooms ...string) *spanwirev1.Action {
	return command(&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{
		Target: &spanwirev1.Target{Rooms: []string{socket}}, Rooms: rooms,
	}}})
}

// answer gives the next answer, put together of its parts.
func (p *peer) answer() *spanwirev1.Answer {
	p.t.Helper()
	whole := &spanwirev1.Answer{}
	for {
		for _, part := range p.batch().GetAnswers() {
			proto.Merge(whole, part)
			p.parts++
			if !part.GetMore() {
				p.answerFrames(p.taken)
				whole.More = false
				return whole
			}
		}
		p.answerFrames(p.taken)
	}
}

// Sockets are found with their rooms, handshake and data as they are at that moment, without
// secrets unless those are asked for.
func TestServer_FetchSockets(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		t.Run(fmt.Sprintf("credentials=%v", credentials), func(t *testing.T) {
			h := newHouse(t, Options{}, dispatch.Options{})
			p := h.attach(func(r *spanwirev1.Register) { r.Credentials = credentials })
			h.connect("socket1")
			h.connect("socket2")
			p.act(joins("socket1", "room"), setData(0, &spanwirev1.SetData{SocketId: "socket1", Data: []byte(` {"n":1} `)}),
				fetch(1, &spanwirev1.FetchSockets{Target: &spanwirev1.Target{Rooms: []string{"room"}}}), joins("socket2", "room"))
			a := p.answer()
			if len(a.GetFound()) != 1 || a.GetFault() != nil || a.GetTruncated() || a.GetId() != 1 {
				t.Fatalf("answer %v", a)
			}
			s := a.GetFound()[0]
			if s.GetSocketId() != "socket1" || !slices.Equal(s.GetRooms(), []string{"socket1", "room"}) || s.GetReplica() != "repl01" ||
				string(s.GetData()) != `{"n":1}` || s.GetDataVersion() != 1 || s.GetHandshake().GetMethod() != "GET" {
				t.Errorf("found %v", s)
			}
			shown := strings.Contains(s.String(), "secret")
			if shown != credentials || (len(s.GetHandshake().GetAuth()) > 0) != credentials {
				t.Errorf("credentials shown: %v, %v", shown, s.GetHandshake())
			}
		})
	}
}

// A limit is kept and reported; an invalid query is a fault.
func TestServer_FetchSockets_limit(t *testing.T) {
	h := newHouse(t, Options{Commands: commands.Options{MaxQueryResults: 3}}, dispatch.Options{})
	p := h.attach(nil)
	for i := range 5 {
		h.connect(sio.SocketID(fmt.Sprint("socket", i)))
	}
	for limit, want := range map[uint32]int{0: 3, 2: 2, 1000: 3} {
		p.act(fetch(1, &spanwirev1.FetchSockets{Target: &spanwirev1.Target{}, Limit: limit}))
		if a := p.answer(); len(a.GetFound()) != want || !a.GetTruncated() {
			t.Errorf("limit %d gave %d, truncated %v", limit, len(a.GetFound()), a.GetTruncated())
		}
	}
	for _, m := range []*spanwirev1.FetchSockets{{}, {Target: &spanwirev1.Target{Namespace: "/.*", Pattern: true}}, {Target: &spanwirev1.Target{Namespace: "x"}}} {
		p.act(fetch(2, m))
		if a := p.answer(); a.GetFault().GetCode() != spanwirev1.FaultCode_FAULT_CODE_INVALID {
			t.Errorf("%v gave %v", m, a)
		}
	}
}

// An answer larger than a frame, and larger than what may wait unread, comes in parts, and the
// dispatches meanwhile are not held up.
func TestServer_FetchSockets_parts(t *testing.T) {
	h := newHouse(t, Options{MaxFrame: 8000, MaxAnswers: 20_000}, dispatch.Options{})
	p := h.attach(nil)
	const n = 600
	for i := range n {
		h.connect(sio.SocketID(fmt.Sprint("socket", i)))
	}
	p.act(fetch(1, &spanwirev1.FetchSockets{Target: &spanwirev1.Target{}}))
	out := &h.server.attached()[0].out
	for waits := false; !waits; runtime.Gosched() {
		out.mu.Lock()
		if waits = out.freed != nil; waits && out.answers > 20_000/2 {
			t.Errorf("%d bytes wait", out.answers)
		}
		out.mu.Unlock()
	}
	a := p.answer()
	seen := map[string]bool{}
	for _, s := range a.GetFound() {
		seen[s.GetSocketId()] = true
	}
	if len(seen) != n || len(a.GetFound()) != n || a.GetTruncated() || a.GetFault() != nil || p.parts < 4 {
		t.Errorf("found %d, %d different, in %d parts, %v", len(a.GetFound()), len(seen), p.parts, a.GetFault())
	}
}

// Rooms are listed with how many sockets they have.
func TestServer_ListRooms(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	h.connect("socket1")
	h.connect("socket2")
	p.act(joins("socket1", "a", "b"), joins("socket2", "b", "socket1"), listRooms(1, &spanwirev1.ListRooms{}),
		listRooms(2, &spanwirev1.ListRooms{IncludeOwn: true}), listRooms(3, &spanwirev1.ListRooms{Namespace: "/none"}))
	want := []map[string]uint32{{"a": 1, "b": 2}, {"a": 1, "b": 2, "socket1": 2, "socket2": 1}, {}}
	answers := p.batch().GetAnswers()
	for i, a := range answers {
		got := map[string]uint32{}
		for _, r := range a.GetRooms() {
			got[r.GetName()] = r.GetSockets()
		}
		if fmt.Sprint(got) != fmt.Sprint(want[i]) || len(a.GetRooms()) != len(want[i]) {
			t.Errorf("answer %d: %v", i, a)
		}
	}
	if len(answers) != len(want) {
		t.Errorf("%d answers", len(answers))
	}
}

// Data is kept under a version: a caller with an older one gets the present one, and a socket that
// is gone is not found.
func TestServer_SetData(t *testing.T) {
	h := newHouse(t, Options{Commands: commands.Options{MaxSocketData: 20}}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i, tc := range []struct {
		set     *spanwirev1.SetData
		fault   spanwirev1.FaultCode
		version uint64
		data    string
	}{
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte(`1`)}, 0, 1, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte(`2`), IfVersion: 1}, 0, 2, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte(`3`), IfVersion: 1}, spanwirev1.FaultCode_FAULT_CODE_CONFLICT, 2, "2"},
		{&spanwirev1.SetData{SocketId: "socket1"}, 0, 3, ""},
		{&spanwirev1.SetData{SocketId: "nobody"}, spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, 0, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Namespace: "/other"}, spanwirev1.FaultCode_FAULT_CODE_NOT_FOUND, 0, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte(`{`)}, spanwirev1.FaultCode_FAULT_CODE_INVALID, 0, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte("\"\xff\"")}, spanwirev1.FaultCode_FAULT_CODE_INVALID, 0, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: make([]byte, 21)}, spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE, 0, ""},
		{&spanwirev1.SetData{SocketId: "socket1", Data: []byte(` {"a":[1]} `)}, 0, 4, ""},
	} {
		p.act(setData(uint64(i+1), tc.set))
		a := p.answer()
		if a.GetId() != uint64(i+1) || a.GetFault().GetCode() != tc.fault || a.GetDataVersion() != tc.version || string(a.GetData()) != tc.data {
			t.Errorf("%v gave %v", tc.set, a)
		}
	}
	if got := testutil.ToFloat64(h.metrics.DataTooLarge); got != 1 {
		t.Errorf("%v too large", got)
	}
	b.emit(t, 1, "chat", `[]`)
	if i := p.dispatches(1)[0].GetIntroduction(); string(i.GetData()) != `{"a":[1]}` || i.GetDataVersion() != 4 {
		t.Errorf("introduced with %v", i)
	}
}

// Commands that are counted answer with the sockets of the whole cluster, here of one replica, and
// need an id.
func TestServer_counted(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	h.connect("socket1")
	h.connect("socket2")
	everyone := &spanwirev1.Target{}
	p.act(command(&spanwirev1.Command{Id: 1, Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: everyone, Rooms: []string{"r"}, WantCount: true}}}))
	if a := p.answer(); a.GetSockets() != 2 || a.GetFault() != nil {
		t.Errorf("join: %v", a)
	}
	p.act(command(&spanwirev1.Command{Id: 2, Command: &spanwirev1.Command_Disconnect{Disconnect: &spanwirev1.Disconnect{
		Target: &spanwirev1.Target{Rooms: []string{"socket1"}}, WantCount: true,
	}}}))
	if a := p.answer(); a.GetSockets() != 1 || a.GetFault() != nil {
		t.Errorf("disconnect: %v", a)
	}
	p.act(command(&spanwirev1.Command{Command: &spanwirev1.Command_Leave{Leave: &spanwirev1.Leave{Target: everyone, Rooms: []string{"r"}, WantCount: true}}}))
	if f := p.receive().GetFault(); f.GetCode() != spanwirev1.FaultCode_FAULT_CODE_INVALID || !strings.Contains(f.GetMessage(), "needs a command id") {
		t.Errorf("without an id: %v", f)
	}
}
