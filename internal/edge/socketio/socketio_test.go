// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Nesting up to the limit must pass, one level more must not, and 200,000 levels must do no harm.
// (X17)
func TestDecoder_Depth(t *testing.T) {
	nested := func(open, middle, end string, n int) []byte {
		return []byte(`2["a",` + strings.Repeat(open, n) + middle + strings.Repeat(end, n) + `]`)
	}
	most := DefaultLimits().Depth - 1 // the event itself is an array
	for _, c := range []struct {
		name     string
		data     []byte
		tooDeep  bool
		noteJSON bool
	}{
		{name: "arrays", data: nested("[", "", "]", most)},
		{name: "objects", data: nested(`{"a":`, "1", "}", most)},
		{name: "arrays, too deep", data: nested("[", "", "]", most+1), tooDeep: true},
		{name: "objects, too deep", data: nested(`{"a":`, "1", "}", most+1), tooDeep: true},
		{name: "empty objects, too deep", data: nested(`[`, "{}", "]", most), tooDeep: true},
		{name: "200,000", data: nested("[", "", "]", 200_000), tooDeep: true},
		{name: "side by side", data: nested("[],", "1", "", 10_000)},
	} {
		_, _, err := newDecoder().Text(c.data)
		if v, _ := VerdictOf(err); c.tooDeep && v != VerdictDepth || !c.tooDeep && err != nil {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// The attachments of a packet must not be larger together than the limit.
func TestDecoder_AttachmentBytes(t *testing.T) {
	limits := DefaultLimits()
	limits.AttachmentBytes = 10
	for _, c := range []struct {
		sizes []int
		fits  bool
	}{{[]int{5, 5}, true}, {[]int{10, 0}, true}, {[]int{5, 6}, false}, {[]int{11, 0}, false}} {
		d := &Decoder{Limits: &limits}
		if _, complete, err := d.Text([]byte(`52-["a"]`)); err != nil || complete || !d.Waiting() {
			t.Fatal(complete, err)
		}
		var err error
		for _, n := range c.sizes {
			if err == nil {
				_, _, err = d.Binary(make([]byte, n))
			}
		}
		if v, _ := VerdictOf(err); c.fits && err != nil || !c.fits && v != VerdictAttachmentBytes {
			t.Errorf("%v: got %v", c.sizes, err)
		}
	}
}

// The head of a binary packet must tell its namespace before the attachments come, so that it can
// be refused. (B10)
func TestDecoder_Head(t *testing.T) {
	p, complete, err := newDecoder().Text([]byte(`51-/admin,4["a",{"_placeholder":true,"num":0}]`))
	if err != nil || complete || p.Namespace != "/admin" || !p.HasID || p.ID != 4 || p.Type != BinaryEvent {
		t.Errorf("got %+v, %v, %v", p, complete, err)
	}
}

// An event's name and arguments must be found without copying more than the name.
func TestDecoder_Allocations(t *testing.T) {
	event := []byte(`2/admin,12["message",{"text":"hello","n":[1,2,3]},"more"]`)
	d, buffer := newDecoder(), make([]byte, len(event))
	namespace := 1.0
	if n := testing.AllocsPerRun(100, func() {
		copy(buffer, event)
		if p, _, err := d.Text(buffer); err != nil || len(p.Event.Args) == 0 {
			t.Fatal(err)
		}
	}); n > 1+namespace {
		t.Errorf("an event costs %v allocations", n)
	}
	main := []byte(`212["message",{"text":"hello"}]`)
	if n := testing.AllocsPerRun(100, func() {
		copy(buffer, main)
		if _, _, err := d.Text(buffer[:len(main)]); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("an event in the main namespace costs %v allocations", n)
	}
	ack := []byte(`312["ok",1]`)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := d.Text(ack); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("an ack costs %v allocations", n)
	}
}

// Encoding must not allocate when there is room.
func TestAppend_Allocations(t *testing.T) {
	buffer := make([]byte, 0, 512)
	ev := &sio.Event{Name: "message", Args: []byte(`[{"text":"hello"},1]`)}
	ack := &sio.Ack{Args: ev.Args}
	if n := testing.AllocsPerRun(100, func() {
		AppendEvent(buffer, "/admin", ev)
		AppendEventWithAck(buffer, "/", 12, ev)
		AppendAck(buffer, "/admin", 12, ack)
		AppendConnect(buffer, "/", "0123456789", "")
		AppendConnectError(buffer, "/", "é", ev.Args)
		AppendDisconnect(buffer, "/admin")
	}); n > 0 {
		t.Errorf("encoding costs %v allocations", n)
	}
}

// Text that is no UTF-8 must never reach a browser.
func TestAppend_UTF8(t *testing.T) {
	got := AppendEvent(nil, "/", &sio.Event{Name: "a\xffb"})
	if want := "2[\"a\ufffdb\"]"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each verdict must have a label of its own.
func TestVerdicts(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Verdicts() {
		if label := v.String(); label == "" || seen[label] || errs[v].Verdict != v {
			t.Errorf("verdict %d has label %q", v, label)
		}
		seen[v.String()] = true
	}
}

func write(p *Packet) []byte {
	switch p.Type {
	case Connect:
		return append(appendHead(nil, Connect, 0, p.Namespace), p.Payload...)
	case Disconnect:
		return AppendDisconnect(nil, p.Namespace)
	case ConnectError:
		return append(appendHead(nil, ConnectError, 0, p.Namespace), p.Payload...)
	case Ack, BinaryAck:
		ack := p.Ack()
		if !p.HasID {
			b := appendHead(nil, p.Type, len(ack.Attachments), p.Namespace)
			return append(b, ack.Args...)
		}
		return AppendAck(nil, p.Namespace, p.ID, &ack)
	}
	if p.HasID {
		return AppendEventWithAck(nil, p.Namespace, p.ID, &p.Event)
	}
	return AppendEvent(nil, p.Namespace, &p.Event)
}

// canonical makes equal what is written differently and means the same.
func canonical(p Packet) Packet {
	p.Payload = bytes.TrimRight(p.Payload, " \t\r\n")
	args := bytes.TrimLeft(p.Event.Args, "[ \t\r\n")
	if string(args) == "]" || len(args) == 0 {
		p.Event.Args = nil
	}
	return p
}

func equal(a, b Packet) bool {
	a, b = canonical(a), canonical(b)
	if len(a.Event.Attachments) != len(b.Event.Attachments) {
		return false
	}
	for i := range a.Event.Attachments {
		if !bytes.Equal(a.Event.Attachments[i], b.Event.Attachments[i]) {
			return false
		}
	}
	return a.Type == b.Type && a.HasID == b.HasID && a.ID == b.ID && a.Namespace == b.Namespace && a.Event.Name == b.Event.Name &&
		bytes.Equal(a.Event.Args, b.Event.Args) && bytes.Equal(a.Payload, b.Payload)
}

// decodeAll feeds one text and attachments, the same one as often as it is due.
func decodeAll(text, attachment []byte) (Packet, error) {
	d := newDecoder()
	p, _, err := d.Text(bytes.Clone(text))
	for err == nil && d.Waiting() {
		p, _, err = d.Binary(bytes.Clone(attachment))
	}
	return p, err
}

// Whatever comes in must do no harm, and what is accepted must be written back as an equal packet
// whose JSON is well-formed.
func FuzzDecoder(f *testing.F) {
	for _, c := range readVectors[decodeVector](f, "packets.json") {
		for _, frame := range c.Frames {
			if frame.Text != nil {
				f.Add([]byte(*frame.Text), []byte{1, 2})
			}
		}
	}
	f.Fuzz(func(t *testing.T, text, attachment []byte) {
		text = []byte(strings.ToValidUTF8(string(text), "?"))
		p, err := decodeAll(text, attachment)
		if err != nil {
			if _, ok := VerdictOf(err); !ok {
				t.Fatalf("%v has no verdict", err)
			}
			return
		}
		if len(p.Event.Args) > 0 && !json.Valid(p.Event.Args) || len(p.Payload) > 0 && !json.Valid(p.Payload) {
			t.Fatalf("%q gave bad JSON: %q, %q", text, p.Event.Args, p.Payload)
		}
		written := write(&p)
		again, err := decodeAll(written, attachment)
		if err != nil || !equal(p, again) {
			t.Fatalf("%q came back from %q as %+v, %v; it was %+v", text, written, again, err, p)
		}
	})
}

func BenchmarkDecoder_Event(b *testing.B) {
	event := []byte(`212["message",{"text":"hello world","n":[1,2,3],"ok":true},"more"]`)
	d, buffer := newDecoder(), make([]byte, len(event))
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buffer, event)
		if _, _, err := d.Text(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecoder_Large(b *testing.B) {
	event := []byte(`2["message",` + strings.Repeat(`{"text":"`+strings.Repeat("hello world ", 20)+`","n":[1,2.5,3]},`, 100) + `1]`)
	d, buffer := newDecoder(), make([]byte, len(event))
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		copy(buffer, event)
		if _, _, err := d.Text(buffer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAck(b *testing.B) {
	buffer, ack := make([]byte, 0, 512), &sio.Ack{Args: []byte(`[{"text":"hello world"},1]`)}
	b.ReportAllocs()
	for b.Loop() {
		AppendAck(buffer, "/", 12, ack)
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	buffer, ev := make([]byte, 0, 512), &sio.Event{Name: "message", Args: []byte(`[{"text":"hello world"},1]`)}
	b.ReportAllocs()
	for b.Loop() {
		AppendEvent(buffer, "/", ev)
	}
}

// A packet that was decoded can be shown as it came.
func TestPacket_Restore(t *testing.T) {
	for _, text := range []string{`2["a",1,"b"]`, `2/admin,["echo",1]`, `2/admin,17["e\u0063ho" , {"x":[1,2]}]`, `2["a"]`, `2[1,2]`, `0/admin,{"token":"x"}`, `3/a,1["b","c"]`, `1/a`} {
		for _, spare := range []int{0, 50} { // the room behind the message
			data := append(make([]byte, 0, len(text)+spare), text...)
			limits := DefaultLimits()
			p, _, err := (&Decoder{Limits: &limits}).Text(data)
			if err != nil {
				t.Fatal(err)
			}
			p.Restore(data)
			if string(data) != text {
				t.Errorf("got %s, want %s", data, text)
			}
		}
	}
}
