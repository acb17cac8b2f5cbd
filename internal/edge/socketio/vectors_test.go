// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

const vectors = "../../../testdata/vectors/"

// hexBytes is written in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(hexBytes{}, text)
	return err
}

// packetVector is a packet as the vectors write it.
type packetVector struct {
	Type        string
	Namespace   sio.Namespace
	ID          *string
	Name        string
	Args        string
	Payload     string
	SID         sio.SocketID
	PID         sio.PrivateID
	Message     string
	Data        string
	Attachments []hexBytes
}

func (v *packetVector) event() *sio.Event {
	ev := &sio.Event{Name: v.Name, Args: []byte(v.Args)}
	for _, a := range v.Attachments {
		ev.Attachments = append(ev.Attachments, a)
	}
	return ev
}

func (v *packetVector) id(t testing.TB) sio.AckID {
	n, err := strconv.ParseUint(*v.ID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return sio.AckID(n)
}

type frameVector struct {
	Text   *string
	Binary *hexBytes
}

type decodeVector struct {
	Name    string
	Frames  []frameVector
	Packets []packetVector
	Verdict string
}

func readVectors[C any](t testing.TB, name string) []C {
	t.Helper()
	data, err := os.ReadFile(vectors + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []C }
	if err = json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatal("there are no cases in " + name)
	}
	return file.Cases
}

func newDecoder() *Decoder {
	limits := DefaultLimits()
	return &Decoder{Limits: &limits}
}

func (f *frameVector) decode(d *Decoder) (Packet, bool, error) {
	if f.Text != nil {
		return d.Text([]byte(*f.Text))
	}
	return d.Binary(*f.Binary)
}

// Every message sequence of the vectors must give its packets, and its verdict at the last frame
// and not before.
func TestDecoder_Vectors(t *testing.T) {
	for _, c := range readVectors[decodeVector](t, "packets.json") {
		t.Run(c.Name, func(t *testing.T) {
			d := newDecoder()
			var got []Packet
			for i, f := range c.Frames {
				p, complete, err := f.decode(d)
				if last := i == len(c.Frames)-1; err != nil && (!last || c.Verdict == "") {
					t.Fatalf("frame %d: %v", i, err)
				} else if last && c.Verdict != "" {
					checkVerdict(t, err, c.Verdict)
				}
				if complete {
					got = append(got, p)
				}
			}
			if len(got) != len(c.Packets) {
				t.Fatalf("got %d packets, want %d", len(got), len(c.Packets))
			}
			for i := range got {
				checkPacket(t, &got[i], &c.Packets[i])
			}
		})
	}
}

func checkVerdict(t *testing.T, err error, want string) {
	t.Helper()
	v, ok := VerdictOf(err)
	if !ok || v.String() != want {
		t.Fatalf("got %v, want verdict %q", err, want)
	}
	if sio.CodeOf(err) == 0 {
		t.Fatalf("%v has no code", err)
	}
}

func checkPacket(t *testing.T, got *Packet, want *packetVector) {
	t.Helper()
	if got.Type.String() != want.Type || got.Namespace != want.Namespace {
		t.Errorf("got %v in %q, want %v in %q", got.Type, got.Namespace, want.Type, want.Namespace)
	}
	if got.HasID != (want.ID != nil) || got.HasID && got.ID != want.id(t) {
		t.Errorf("got id %v %d, want %v", got.HasID, got.ID, want.ID)
	}
	if got.Event.Name != want.Name || string(got.Event.Args) != want.Args {
		t.Errorf("got %q %q, want %q %q", got.Event.Name, got.Event.Args, want.Name, want.Args)
	}
	if string(got.Payload) != want.Payload {
		t.Errorf("got payload %q, want %q", got.Payload, want.Payload)
	}
	if len(got.Event.Attachments) != len(want.Attachments) {
		t.Fatalf("got %d attachments, want %d", len(got.Event.Attachments), len(want.Attachments))
	}
	for i, a := range got.Event.Attachments {
		if !bytes.Equal(a, want.Attachments[i]) {
			t.Errorf("attachment %d: got %x, want %x", i, a, want.Attachments[i])
		}
	}
}

type encodeVector struct {
	Name   string
	Packet packetVector
	Text   string
}

// Every packet of the vectors must be written exactly so.
func TestAppend_Vectors(t *testing.T) {
	for _, c := range readVectors[encodeVector](t, "encode.json") {
		t.Run(c.Name, func(t *testing.T) {
			v, got, ev := &c.Packet, []byte("before "), c.Packet.event()
			switch {
			case v.Type == "connect":
				got = AppendConnect(got, v.Namespace, v.SID, v.PID)
			case v.Type == "connect_error":
				got = AppendConnectError(got, v.Namespace, v.Message, []byte(v.Data))
			case v.Type == "disconnect":
				got = AppendDisconnect(got, v.Namespace)
			case v.Type == "ack":
				got = AppendAck(got, v.Namespace, v.id(t), &sio.Ack{Args: ev.Args, Attachments: ev.Attachments})
			case v.ID != nil:
				got = AppendEventWithAck(got, v.Namespace, v.id(t), ev)
			default:
				got = AppendEvent(got, v.Namespace, ev)
			}
			if string(got) != "before "+c.Text {
				t.Errorf("got  %s\nwant before %s", got, c.Text)
			}
		})
	}
}

// The arguments that SDKs are tested with must pass through the decoder and the encoder as they
// are, or be refused.
func TestDecoder_EventVectors(t *testing.T) {
	type eventVector struct {
		Name        string
		Args        string
		Attachments []hexBytes
	}
	data, err := os.ReadFile(vectors + "events.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases, Invalid, Exact []eventVector }
	if err = json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	decode := func(v *eventVector) (p Packet, err error) {
		ev := sio.Event{Name: "x", Args: []byte(v.Args)}
		for _, a := range v.Attachments {
			ev.Attachments = append(ev.Attachments, a)
		}
		d := newDecoder()
		p, _, err = d.Text(AppendAck(nil, "/", 1, &sio.Ack{Args: ev.Args, Attachments: ev.Attachments}))
		for _, a := range v.Attachments {
			if err == nil {
				p, _, err = d.Binary(a)
			}
		}
		return p, err
	}
	for _, v := range append(file.Cases, file.Exact...) {
		p, err := decode(&v)
		if want := v.Args; err != nil || string(p.Event.Args) != want && want != "" {
			t.Errorf("%s: got %q, %v", v.Name, p.Event.Args, err)
		}
	}
	for _, v := range file.Invalid {
		if p, err := decode(&v); err == nil {
			t.Errorf("%s: got %q", v.Name, p.Event.Args)
		}
	}
}
