// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// An event reaches the instance with an introduction, and its ack the browser; credentials are
// withheld unless asked for.
func TestServer_Attach(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		t.Run(fmt.Sprintf("credentials=%v", credentials), func(t *testing.T) {
			h := newHouse(t, Options{}, dispatch.Options{})
			p := h.attach(func(r *spanwirev1.Register) { r.Credentials = credentials })
			b := h.connect("socket1")
			b.emit(t, 7, "chat", `[{"a":1}]`)
			d := p.dispatches(1)[0]
			if d.GetSocketId() != "socket1" || d.GetNamespace() != "" || d.GetEvent().GetName() != "chat" ||
				string(d.GetEvent().GetArgs()) != `[{"a":1}]` || !d.GetWantsAck() || d.GetRedeliveries() != 0 {
				t.Errorf("dispatch %v", d)
			}
			hs := d.GetIntroduction().GetHandshake()
			if string(hs.GetAuth()) != `{"token":"x"}` || hs.GetMethod() != "GET" {
				t.Errorf("handshake %v", hs)
			}
			if got := strings.Contains(hs.String(), "secret"); got != credentials {
				t.Errorf("credentials shown: %v", got)
			}
			p.act(acked(d.GetId(), `[ ]`))
			b.sees(t, "ack 7 ")
			b.emit(t, 8, "chat", `[]`)
			d = p.dispatches(1)[0]
			if d.GetIntroduction() != nil {
				t.Error("the socket was introduced twice")
			}
			p.act(acked(d.GetId(), ` ["ok"] `))
			b.sees(t, `ack 8 ["ok"]`)
		})
	}
}

// Commands before a result take effect before its ack.
func TestServer_Attach_order(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	d := p.dispatches(1)[0]
	p.act(emit(5, "socket1", "first", `[1]`), acked(d.GetId(), `[2]`), emit(0, "socket1", "last", `[3]`))
	b.sees(t, "event first [1]")
	b.sees(t, "ack 1 [2]")
	b.sees(t, "event last [3]")
	if a := p.batch().GetAnswers(); len(a) != 1 || a[0].GetId() != 5 || a[0].GetSockets() != 1 || a[0].GetFault() != nil {
		t.Errorf("answers %v", a)
	}
}

// An emit that wants acks brings them in its answer.
func TestServer_Attach_wantAcks(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	p.act(command(&spanwirev1.Command{Id: 3, Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantAcks: true}}}))
	b.sees(t, "event x ")
	a := p.batch().GetAnswers()[0]
	if a.GetId() != 3 || a.GetSockets() != 1 || len(a.GetAcks()) != 1 || string(a.GetAcks()[0].GetAck().GetArgs()) != `["got it"]` {
		t.Errorf("answer %v", a)
	}
}

// At most two batch frames are unanswered; what waits goes into one frame then, in order.
func TestServer_Attach_frameWindow(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 100 {
		b.emit(t, sio.AckID(i), "chat", fmt.Sprintf(`[%d]`, i))
	}
	first, second := p.batch(), p.batch()
	if len(first.GetDispatches()) != 1 || len(second.GetDispatches()) != 1 {
		t.Errorf("the first frames carry %d and %d", len(first.GetDispatches()), len(second.GetDispatches()))
	}
	p.answerFrames(1)
	third := p.batch()
	if len(third.GetDispatches()) != 98 || third.GetSequence() != 3 {
		t.Errorf("frame %d carries %d", third.GetSequence(), len(third.GetDispatches()))
	}
	for i, d := range third.GetDispatches() {
		if want := fmt.Sprintf(`[%d]`, i+2); string(d.GetEvent().GetArgs()) != want {
			t.Fatalf("dispatch %d is %s, want %s", i, d.GetEvent().GetArgs(), want)
		}
	}
}

// The broker answers the instance's frames when it may send no more.
func TestServer_Attach_frameAck(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	for i := range 10 {
		p.act()
		p.act()
		if got := p.receive().GetFrameAck().GetAnswered(); got != uint64(2*i+2) {
			t.Fatalf("answered %d, want %d", got, 2*i+2)
		}
	}
	for range 3 {
		p.act() // the third without waiting for an answer
	}
	p.act()
	p.act()
}

// A dispatch larger than a frame is given up; the socket's next events go on.
func TestServer_Attach_tooLarge(t *testing.T) {
	h := newHouse(t, Options{MaxFrame: 4000}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for range 50 {
		b.emit(t, 1, "large", `["`+strings.Repeat("x", 5000)+`"]`)
	}
	b.emit(t, 2, "small", `[]`)
	d := p.dispatches(1)[0]
	if d.GetEvent().GetName() != "small" {
		t.Fatalf("dispatch %v", d)
	}
	p.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 2 ")
}

// Batches are split at the bytes that a frame may have.
func TestServer_Attach_split(t *testing.T) {
	h := newHouse(t, Options{MaxFrame: 4000}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 100 {
		b.emit(t, 1, "chat", fmt.Sprintf(`[%d,"%s"]`, i, strings.Repeat("x", 500)))
	}
	for i, d := range p.dispatches(100) {
		if !strings.HasPrefix(string(d.GetEvent().GetArgs()), fmt.Sprintf(`[%d,`, i)) {
			t.Fatalf("dispatch %d out of order", i)
		}
	}
}

// When the stream breaks, the open dispatches come again on another, in order and marked.
func TestServer_Attach_redelivery(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(nil)
	b := h.connect("socket1")
	for i := range 20 {
		b.emit(t, sio.AckID(i), "chat", fmt.Sprintf(`[%d]`, i))
	}
	before := p.dispatches(20)
	p.cancel()
	other := h.attach(func(r *spanwirev1.Register) { r.InstanceId = "chat-2" })
	for i, d := range other.dispatches(20) {
		if d.GetId() != before[i].GetId() || d.GetRedeliveries() != 1 || (d.GetIntroduction() != nil) != (i == 0) {
			t.Fatalf("dispatch %d: %v", i, d)
		}
		other.act(acked(d.GetId(), `[]`))
		b.sees(t, fmt.Sprintf("ack %d ", i))
		if i%2 == 1 {
			if other.receive().GetFrameAck() == nil {
				t.Fatal("no frame ack")
			}
		}
	}
}

// A newer stream of an instance takes the place of the older, which is ended.
func TestServer_Attach_replaced(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	older := h.attach(nil)
	b := h.connect("socket1")
	b.emit(t, 1, "chat", `[]`)
	older.dispatches(1)
	newer := h.attach(nil)
	older.ends(codes.Aborted, "newer stream")
	d := newer.dispatches(1)[0]
	newer.act(acked(d.GetId(), `[]`))
	b.sees(t, "ack 1 ")
}

// A refused connect carries the service's words; a failed one does not.
func TestServer_Attach_connect(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	p := h.attach(func(r *spanwirev1.Register) { r.Registrations[0].Connect = true })
	for i, tc := range []struct {
		result *spanwirev1.Result
		want   dispatch.Decision
	}{
		{&spanwirev1.Result{}, dispatch.Decision{Kind: dispatch.Accepted}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Message: "no", Data: []byte(` {"a":1} `)}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "no", Data: []byte(`{"a":1}`), Service: "chat"}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Refusal{Refusal: &spanwirev1.Refusal{Data: []byte(`{`)}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "Connection rejected by server", Service: "chat"}},
		{&spanwirev1.Result{Outcome: &spanwirev1.Result_Failure{Failure: &spanwirev1.Failure{Message: "secret trace"}}},
			dispatch.Decision{Kind: dispatch.Refused, Message: "Connection failed", Service: "chat"}},
	} {
		b := h.dial(sio.SocketID(fmt.Sprint("socket", i)))
		d := p.dispatches(1)[0]
		if d.GetConnect() == nil || d.GetIntroduction() == nil {
			t.Fatalf("dispatch %v", d)
		}
		tc.result.DispatchId = d.GetId()
		p.act(result(tc.result))
		if got := <-b.decisions; fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("decision %+v, want %+v", got, tc.want)
		}
	}
}
