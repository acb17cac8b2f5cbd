// SPDX-License-Identifier: Apache-2.0

package edgetest

import (
	"encoding/json"
	"fmt"

	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// Socket is a browser in one namespace.
type Socket struct {
	// ID is the Socket.IO id.
	ID sio.SocketID

	browser   *Browser
	namespace sio.Namespace
	ids       sio.AckID
}

// Event is what the server emitted.
type Event struct {
	Name        string
	Args        []any // as of encoding/json, and []byte for attachments
	Raw         string
	Attachments [][]byte
	WantsAck    bool
	ID          sio.AckID
}

// Connect joins a namespace. Auth nil sends none.
func (b *Browser) Connect(ns sio.Namespace, auth any) *Socket {
	b.t.Helper()
	b.SendConnect(ns, auth)
	return b.Connected(ns)
}

// SendConnect asks to join a namespace and does not wait for the answer.
func (b *Browser) SendConnect(ns sio.Namespace, auth any) {
	payload := ""
	if auth != nil {
		payload = string(marshal(auth))
	}
	b.Send("0" + prefix(ns) + payload)
}

// Connected waits for the answer that lets the browser in.
func (b *Browser) Connected(ns sio.Namespace) *Socket {
	b.t.Helper()
	p := b.packetOf(ns)
	var answer struct{ SID sio.SocketID }
	if err := json.Unmarshal(p.Payload, &answer); p.Type != socketio.Connect || err != nil || answer.SID == "" {
		b.t.Fatalf("connect to %s was answered with %v %s", ns, p.Type, p.Payload)
	}
	return &Socket{ID: answer.SID, browser: b, namespace: ns}
}

// Refused waits for the answer that does not let the browser in.
func (b *Browser) Refused(ns sio.Namespace) (message string, data json.RawMessage) {
	b.t.Helper()
	p := b.packetOf(ns)
	var answer struct {
		Message string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(p.Payload, &answer); p.Type != socketio.ConnectError || err != nil {
		b.t.Fatalf("connect to %s was answered with %v %s", ns, p.Type, p.Payload)
	}
	return answer.Message, answer.Data
}

// Emit sends an event. A []byte anywhere in the arguments becomes an attachment.
func (s *Socket) Emit(name string, args ...any) { s.emit(socketio.AppendEvent, name, args) }

// SendWithAck sends an event that asks for an ack, and gives its id.
func (s *Socket) SendWithAck(name string, args ...any) sio.AckID {
	id := s.ids
	s.ids++
	s.emit(func(dst []byte, ns sio.Namespace, ev *sio.Event) []byte {
		return socketio.AppendEventWithAck(dst, ns, id, ev)
	}, name, args)
	return id
}

// EmitWithAck sends an event and waits for its ack.
func (s *Socket) EmitWithAck(name string, args ...any) []any {
	s.browser.t.Helper()
	return s.ExpectAck(s.SendWithAck(name, args...))
}

func (s *Socket) emit(encode func([]byte, sio.Namespace, *sio.Event) []byte, name string, args []any) {
	ev := &sio.Event{Name: name}
	ev.Args, ev.Attachments = pack(args)
	s.browser.Send(string(encode(nil, s.namespace, ev)))
	for _, a := range ev.Attachments {
		s.browser.SendBinary(a)
	}
}

// ExpectAck waits for the ack with the id; it must be the next packet of the namespace.
func (s *Socket) ExpectAck(id sio.AckID) []any {
	s.browser.t.Helper()
	p := s.browser.packetOf(s.namespace)
	if p.Type != socketio.Ack && p.Type != socketio.BinaryAck || !p.HasID || p.ID != id {
		s.browser.t.Fatalf("got %v %d %q %s, want ack %d", p.Type, p.ID, p.Event.Name, p.Event.Args, id)
	}
	return s.unpack(&p)
}

// Expect waits for an event; it must be the next packet of the namespace.
func (s *Socket) Expect(name string) Event {
	s.browser.t.Helper()
	p := s.browser.packetOf(s.namespace)
	if p.Type != socketio.Event && p.Type != socketio.BinaryEvent || p.Event.Name != name {
		s.browser.t.Fatalf("got %v %q %s, want event %q", p.Type, p.Event.Name, p.Event.Args, name)
	}
	return Event{
		Name: name, Raw: string(p.Event.Args), Args: s.unpack(&p), Attachments: p.Event.Attachments, WantsAck: p.HasID, ID: p.ID,
	}
}

// Ack answers an event.
func (s *Socket) Ack(ev Event, args ...any) {
	packed, attachments := pack(args)
	s.browser.Send(string(socketio.AppendAck(nil, s.namespace, ev.ID, &sio.Ack{Args: packed, Attachments: attachments})))
	for _, a := range attachments {
		s.browser.SendBinary(a)
	}
}

// Disconnect leaves the namespace.
func (s *Socket) Disconnect() {
	s.browser.Send(string(socketio.AppendDisconnect(nil, s.namespace)))
}

// ExpectDisconnect waits for the server's word that the socket is ended; it must be the next packet
// of the namespace.
func (s *Socket) ExpectDisconnect() {
	s.browser.t.Helper()
	if p := s.browser.packetOf(s.namespace); p.Type != socketio.Disconnect {
		s.browser.t.Fatalf("got %v %q, want disconnect", p.Type, p.Event.Name)
	}
}

func prefix(ns sio.Namespace) string {
	if ns == sio.MainNamespace {
		return ""
	}
	return string(ns) + ","
}

// pack writes arguments, with placeholders for attachments.
func pack(args []any) (packed []byte, attachments [][]byte) {
	if len(args) == 0 {
		return nil, nil
	}
	return marshal(replace(args, func(data []byte) any {
		attachments = append(attachments, data)
		return map[string]any{"_placeholder": true, "num": len(attachments) - 1}
	})), attachments
}

func replace(v any, attach func([]byte) any) any {
	switch v := v.(type) {
	case []byte:
		return attach(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = replace(v[i], attach)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key := range v {
			object[key] = replace(v[key], attach)
		}
		return object
	}
	return v
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a test sends what is no JSON: %v", err))
	}
	return data
}

// unpack reads arguments and puts attachments where their placeholders are.
func (s *Socket) unpack(p *socketio.Packet) []any {
	s.browser.t.Helper()
	if len(p.Event.Args) == 0 {
		return nil
	}
	var args []any
	if err := json.Unmarshal(p.Event.Args, &args); err != nil {
		s.browser.t.Fatalf("arguments %q: %v", p.Event.Args, err)
	}
	if len(p.Event.Attachments) > 0 {
		restore(args, p.Event.Attachments)
	}
	return args
}

func restore(v any, attachments [][]byte) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = restore(v[i], attachments)
		}
	case map[string]any:
		if v["_placeholder"] == true {
			return attachments[int(v["num"].(float64))]
		}
		for key := range v {
			v[key] = restore(v[key], attachments)
		}
	}
	return v
}
