// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// msgpackVectors are packets in MessagePack. The broker may write members in another order than the
// vectors.
type msgpackVectors struct {
	Decode []struct {
		Name    string
		Binary  hexBytes
		Packet  *packetVector
		Verdict string
	}
	Encode []struct {
		Name   string
		Packet packetVector
		Binary hexBytes
	}
}

func readMsgpackVectors(t testing.TB) (v msgpackVectors) {
	t.Helper()
	data, err := os.ReadFile(vectors + "msgpack.json")
	if err != nil {
		t.Fatal(err)
	}
	if err = json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Decode) == 0 || len(v.Encode) == 0 {
		t.Fatal("there are no cases")
	}
	return v
}

func parseMsgpack(data []byte) (Packet, error) {
	limits := DefaultLimits()
	return ParseMsgpack(bytes.Clone(data), &limits)
}

// Every message of the vectors must give its packet or its verdict.
func TestParseMsgpack_Vectors(t *testing.T) {
	for _, c := range readMsgpackVectors(t).Decode {
		t.Run(c.Name, func(t *testing.T) {
			p, err := parseMsgpack(c.Binary)
			if c.Verdict != "" {
				checkVerdict(t, err, c.Verdict)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkPacket(t, &p, c.Packet)
		})
	}
}

// Every packet of the vectors must be written as the standard parser writes it, but for the order
// of members.
func TestAppendMsgpack_Vectors(t *testing.T) {
	for _, c := range readMsgpackVectors(t).Encode {
		t.Run(c.Name, func(t *testing.T) {
			v, ev, before := &c.Packet, c.Packet.event(), []byte("before ")
			var got []byte
			switch {
			case v.Type == "connect":
				got = AppendMsgpackConnect(before, v.Namespace, v.SID, v.PID)
			case v.Type == "connect_error":
				got = AppendMsgpackConnectError(before, v.Namespace, v.Message, []byte(v.Data))
			case v.Type == "disconnect":
				got = AppendMsgpackDisconnect(before, v.Namespace)
			case v.Type == "ack":
				got = AppendMsgpackAck(before, v.Namespace, v.id(t), &sio.Ack{Args: ev.Args, Attachments: ev.Attachments})
			case v.ID != nil:
				got = AppendMsgpackEventWithAck(before, v.Namespace, v.id(t), ev)
			default:
				got = AppendMsgpackEvent(before, v.Namespace, ev)
			}
			got, ok := bytes.CutPrefix(got, []byte("before "))
			if !ok || !sameMembers(t, got, c.Binary) {
				t.Errorf("got  %x\nwant %x", got, []byte(c.Binary))
			}
		})
	}
}

// sameMembers tells whether two maps have the same members, byte for byte.
func sameMembers(t *testing.T, a, b []byte) bool {
	t.Helper()
	members := func(data []byte) map[string]string {
		e, i, err := readElement(data, 0)
		if err != nil || e.kind != kindMap {
			t.Fatalf("%x is no map: %v", data, err)
		}
		m := map[string]string{}
		for range e.size / 2 {
			value, err := skip(data, i)
			if err != nil {
				t.Fatal(err)
			}
			end, err := skip(data, value)
			if err != nil {
				t.Fatal(err)
			}
			m[string(data[i:value])] = string(data[value:end])
			i = end
		}
		if i != len(data) {
			t.Fatalf("%x has trailing bytes", data)
		}
		return m
	}
	x, y := members(a), members(b)
	for key, value := range x {
		if y[key] != value {
			return false
		}
	}
	return len(x) == len(y)
}

// msgpackEvent is an event with one argument.
func msgpackEvent(argument []byte) []byte {
	event := appendMsgpackText(append(appendMsgpackText(appendMsgpackHead(nil, Event, 3, "/"), "data"), fixArray|2), "a")
	return append(event, argument...)
}

// Nesting up to the limit must pass, one level more must not, and what is deeper than any limit
// must do no harm.
func TestParseMsgpack_Depth(t *testing.T) {
	most := DefaultLimits().Depth - 1 // the event itself is an array
	for _, c := range []struct {
		name    string
		open    string
		end     string
		levels  int
		tooDeep bool
	}{
		{"arrays", "\x91", "\xc0", most, false},
		{"maps", "\x81\xa1a", "\xc0", most, false},
		{"arrays, too deep", "\x91", "\xc0", most + 1, true},
		{"maps, too deep", "\x81\xa1a", "\xc0", most + 1, true},
		{"empty map, too deep", "\x91", "\x80", most, true},
		{"200,000", "\x91", "\xc0", 200_000, true},
	} {
		_, err := parseMsgpack(msgpackEvent([]byte(strings.Repeat(c.open, c.levels) + c.end)))
		if v, _ := VerdictOf(err); c.tooDeep && v != VerdictDepth || !c.tooDeep && err != nil {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// What is small in MessagePack must not become larger than the limit as JSON, and attachments
// neither.
func TestParseMsgpack_Bytes(t *testing.T) {
	limits := DefaultLimits()
	limits.AttachmentBytes = 1000
	for name, c := range map[string]struct {
		argument []byte
		verdict  Verdict
	}{
		"nil":             {append([]byte{0xdc, 1, 0}, bytes.Repeat([]byte{0xc0}, 256)...), VerdictPayloadBytes},
		"control letters": {append([]byte{0xd9, 200}, make([]byte, 200)...), VerdictPayloadBytes},
		"bin":             {append([]byte{0xc5, 3, 233}, make([]byte, 1001)...), VerdictAttachmentBytes},
	} {
		_, err := ParseMsgpack(msgpackEvent(c.argument), &limits)
		if v, _ := VerdictOf(err); v != c.verdict {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := ParseMsgpack(msgpackEvent(append([]byte{0xc5, 3, 232}, make([]byte, 1000)...)), &limits); err != nil {
		t.Error(err)
	}
}

// The first message must decide what the session is written in, and the other kind is refused from
// then on.
func TestDecoder_Format(t *testing.T) {
	connect := appendMsgpackHead(nil, Connect, 2, "/")
	d := newDecoder()
	if p, complete, err := d.Binary(bytes.Clone(connect)); err != nil || !complete || p.Type != Connect || !d.Msgpack() || d.Waiting() {
		t.Fatal(p, complete, err)
	}
	_, _, err := d.Text([]byte("0"))
	checkVerdict(t, err, "text_expected_binary")

	d = newDecoder()
	if _, _, err = d.Text([]byte("0")); err != nil || d.Msgpack() {
		t.Fatal(err)
	}
	_, _, err = d.Binary(connect)
	checkVerdict(t, err, "binary_unexpected")

	d = newDecoder()
	d.Protocol4 = true
	_, _, err = d.Binary(connect)
	checkVerdict(t, err, "binary_unexpected")
}

func writeMsgpack(p *Packet) []byte {
	ack := p.Ack()
	withPayload := func(t PacketType) []byte {
		out := appendMsgpackText(appendMsgpackHead(nil, t, 3, p.Namespace), "data")
		if p.Payload == nil {
			return append(out, 0xc0)
		}
		q := borrowPacker(p.Payload, nil)
		if q.measure() != nil {
			return nil
		}
		return q.append(out)
	}
	switch {
	case p.Type == Connect || p.Type == ConnectError:
		return withPayload(p.Type)
	case p.Type == Disconnect:
		return AppendMsgpackDisconnect(nil, p.Namespace)
	case (p.Type == Ack || p.Type == BinaryAck) && p.HasID:
		return AppendMsgpackAck(nil, p.Namespace, p.ID, &ack)
	case p.Type == Ack || p.Type == BinaryAck: // the broker never sends one without id
		out := appendMsgpackText(appendMsgpackHead(nil, Ack, 3, p.Namespace), "data")
		q := borrowPacker(ack.Args, ack.Attachments)
		if q.measureArray() != nil {
			return append(out, fixArray)
		}
		return q.append(out)
	case p.HasID:
		return AppendMsgpackEventWithAck(nil, p.Namespace, p.ID, &p.Event)
	}
	return AppendMsgpackEvent(nil, p.Namespace, &p.Event)
}

// Whatever comes in must do no harm, and what is accepted must be well-formed JSON that is written
// back as an equal packet.
func FuzzParseMsgpack(f *testing.F) {
	v := readMsgpackVectors(f)
	for _, c := range v.Decode {
		f.Add([]byte(c.Binary))
	}
	for _, c := range v.Encode {
		f.Add([]byte(c.Binary))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parseMsgpack(data)
		if err != nil {
			if _, ok := VerdictOf(err); !ok {
				t.Fatalf("%v has no verdict", err)
			}
			return
		}
		if len(p.Event.Args) > 0 && !json.Valid(p.Event.Args) || len(p.Payload) > 0 && !json.Valid(p.Payload) {
			t.Fatalf("%x gave bad JSON: %q, %q", data, p.Event.Args, p.Payload)
		}
		written := writeMsgpack(&p)
		again, err := parseMsgpack(written)
		if err != nil || !equal(p, again) {
			t.Fatalf("%x came back from %x as %+v, %v; it was %+v", data, written, again, err, p)
		}
	})
}

// An event in MessagePack must become JSON and attachments with few allocations, and go back
// without any but for many containers.
func TestMsgpack_Allocations(t *testing.T) {
	if raceDetector {
		return // the detector makes pools forget
	}
	ev := &sio.Event{Name: "message", Args: []byte(`[{"text":"hello world","n":[1,2,3],"ok":true},"more"]`)}
	event, buffer, limits := AppendMsgpackEvent(nil, "/", ev), make([]byte, 0, 512), DefaultLimits()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseMsgpack(event, &limits); err != nil {
			t.Fatal(err)
		}
	}); n > 3 { // namespace, name, JSON
		t.Errorf("reading costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { AppendMsgpackEvent(buffer, "/", ev) }); n > 0 {
		t.Errorf("writing costs %v allocations", n)
	}
}

func BenchmarkParseMsgpack(b *testing.B) {
	event := AppendMsgpackEvent(nil, "/", &sio.Event{Name: "message", Args: []byte(`[{"text":"hello world","n":[1,2,3],"ok":true},"more"]`)})
	limits := DefaultLimits()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMsgpack(event, &limits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMsgpackEvent(b *testing.B) {
	buffer, ev := make([]byte, 0, 512), &sio.Event{Name: "message", Args: []byte(`[{"text":"hello world"},1]`)}
	b.ReportAllocs()
	for b.Loop() {
		AppendMsgpackEvent(buffer, "/", ev)
	}
}
