// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func text(t PacketType, data string) Packet { return Packet{Type: t, Data: []byte(data)} }
func binary(data string) Packet {
	return Packet{Type: PacketMessage, Binary: true, Data: []byte(data)}
}

func samePackets(a, b []Packet) bool {
	return slices.EqualFunc(a, b, func(a, b Packet) bool { return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data) })
}

// Both forms read and write as the parser of the reference clients has them. Lengths count UTF-16
// code units in text, bytes in binary.
func TestRevision3_Forms(t *testing.T) {
	wide := text(PacketMessage, "a€😀")
	for _, c := range []struct {
		name, body  string
		binary      bool
		packets     []Packet
		base64      bool
		contentType string
	}{
		{"ping and message", "1:22:4h", false, []Packet{text(PacketPing, ""), text(PacketMessage, "h")}, false, textPlain},
		{"wide characters", "5:4a€😀", false, []Packet{wide}, false, textPlain},
		{"base64", "5:4a€😀10:b4AQID/w==", false, []Packet{wide, binary("\x01\x02\x03\xff")}, true, textPlain},
		{"empty base64", "2:b4", false, []Packet{binary("")}, true, textPlain},
		{"binary", "\x00\x09\xff4a\xe2\x82\xac\xf0\x9f\x98\x80\x01\x05\xff\x04\x01\x02\x03\xff", true, []Packet{wide, binary("\x01\x02\x03\xff")}, false, octetStream},
		{"empty binary", "\x01\x01\xff\x04", true, []Packet{binary("")}, false, octetStream},
		{"long binary", "\x01\x01\x02\x00\xff\x04" + strings.Repeat("x", 119), true, []Packet{binary(strings.Repeat("x", 119))}, false, octetStream},
		{"long text", "120:4" + strings.Repeat("é", 119), false, []Packet{text(PacketMessage, strings.Repeat("é", 119))}, true, textPlain},
	} {
		r := revision3{base64: c.base64}
		got, err := r.split([]byte(c.body), c.binary, 2)
		if err != nil || !samePackets(got, c.packets) {
			t.Errorf("%s: split as %v, %v", c.name, got, err)
		}
		if body, contentType := r.answer(c.packets); string(body) != c.body || contentType != c.contentType {
			t.Errorf("%s: answered %q as %s", c.name, body, contentType)
		}
	}
}

// A body whose lengths lie, or which reads in no way or in two, is not taken at all.
func TestRevision3_SplitErr(t *testing.T) {
	for _, body := range []string{
		"", "1", ":", "1:", "0:", "0:1:2", "1!", "))", "3:99:", "1:aa", "1:a2:b", "2:4", "1:4a", "-1:4", "+1:4", " 1:4", "1 :4", "1e0:4", "01:4",
		"1:9", "1:a", "4:4😀", "2:4😀", "2:4\xff", "4:4\xe2\x82\xac", "1:22", "2:b4!", "1:b", "3:b4A", "4:b4A=", "4:b2AA", "4:bAQ=",
		"99999999999999999999:4", "1000000000:4", "4294967297:4", "1:2\n", "1:4\x1e1:4", "6:b4AR==",
	} {
		if p, err := (revision3{}).split([]byte(body), false, 9); err == nil {
			t.Errorf("%q: taken as %v", body, p)
		}
	}
	for _, body := range []string{
		"", "\x00", "\x01", "\x02\x01\xff4", "\x00\xff", "\x00\x00\xff", "\x00\x01\xff", "\x00\x02\xff4", "\x00\x01\xff4a", "\x00\x00\x01\xff4", "\x00\x0a\xff4",
		"\x00\x011\xff4", "\x001\xff4", "\x00\x02\xff4\xff", "\x00\x01\xff9", "\x00\x06\xffb4AQ==", "\x01\x01\xff4", "\x01\x01\xff\x02", "\x01\x02\xff\x02a",
		"\x01\x02\xffb4", "\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04", "\x00" + strings.Repeat("\x09", 400) + "\xff4", "1:4",
	} {
		if p, err := (revision3{}).split([]byte(body), true, 9); err == nil {
			t.Errorf("%q: taken as %v", body, p)
		}
	}
}

// Too many packets are counted and not kept, and those that are kept hold no more of the body than
// they are.
func TestRevision3_SplitBounded(t *testing.T) {
	for body, binary := range map[string]bool{strings.Repeat("1:2", 10): false, strings.Repeat("\x00\x01\xff2", 10): true} {
		if p, err := (revision3{}).split([]byte(body), binary, 10); err != nil || len(p) != 10 {
			t.Errorf("%q: %v, %v", body, p, err)
		}
		if p, err := (revision3{}).split([]byte(body), binary, 9); err != errTooManyPackets {
			t.Errorf("%q: taken as %v, %v", body, p, err)
		}
	}
	many := []byte(strings.Repeat("1:2", 100_000))
	if n := testing.AllocsPerRun(10, func() { (revision3{}).split(many, false, 1000) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for body, binary := range map[string]bool{"3:4ab3:4cd": false, "\x00\x03\xff4ab\x01\x03\xff\x04cd": true} {
		b := []byte(body)
		p, err := (revision3{}).split(b, binary, 10)
		clear(b)
		if err != nil || string(p[0].Data) != "ab" || string(p[1].Data) != "cd" {
			t.Errorf("%q: the packets share the body: %v", body, p)
		}
	}
}

// On a WebSocket a binary message begins with its type; what does not is none, and its bytes are
// never shifted.
func TestRevision3_Parse(t *testing.T) {
	for data, want := range map[string]Packet{"\x04": binary(""), "\x04\x04": binary("\x04"), "\x04ab": binary("ab")} {
		if p, err := (revision3{}).parse([]byte(data), true); err != nil || !samePackets([]Packet{p}, []Packet{want}) {
			t.Errorf("binary %q: got %v, %v", data, p, err)
		}
	}
	for data, want := range map[string]Packet{"4é": text(PacketMessage, "é"), "2probe": text(PacketPing, "probe"), "b4AQ==": binary("\x01")} {
		if p, err := (revision3{}).parse([]byte(data), false); err != nil || !samePackets([]Packet{p}, []Packet{want}) {
			t.Errorf("text %q: got %v, %v", data, p, err)
		}
	}
	for data, binary := range map[string]bool{"": true, "4a": true, "\x00a": true, "\x02": true, "b": false, "bAQ==": false, "b2AQ==": false, "9": false} {
		if p, err := (revision3{}).parse([]byte(data), binary); err == nil {
			t.Errorf("%q, binary %v: taken as %v", data, binary, p)
		}
	}
	if p, err := (revision3{}).parse(nil, false); err == nil {
		t.Errorf("nothing: taken as %v", p)
	}
}

// Frames for many sessions and frames for one are the same bytes, in each way of writing them.
func TestFraming(t *testing.T) {
	unit := []Message{{Data: []byte("x")}, {Data: []byte{1, 0xff}, Binary: true}}
	shared, textual := NewShared(unit...), NewShared(unit[0])
	for f, want := range map[framing]string{
		framedPlain: "\x81\x024x\x82\x02\x01\xff", framedTyped: "\x81\x024x\x82\x03\x04\x01\xff", framedBase64: "\x81\x024x\x81\x06b4Af8=",
	} {
		if got := string(shared.frames(f, false, &Options{}).Data); got != want {
			t.Errorf("%d: got %q, want %q", f, got, want)
		}
		if textual.frames(f, false, &Options{}) != textual.frames(framedPlain, false, &Options{}) {
			t.Errorf("%d: text alone is framed twice", f)
		}
	}
}

func FuzzPayload3Text(f *testing.F) {
	for _, seed := range []string{"", "1:2", "5:4a€😀", "1:22:4h", "10:b4AQID/w==2:b4", "3:4😀", "2:4😀", "0:", "01:4", "99999999999:4", "1:4\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := slices.Clone(body)
		packets, err := (revision3{}).split(body, false, 100)
		if !bytes.Equal(body, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if len(packets) == 0 || len(packets) > 100 {
			t.Fatalf("%d packets", len(packets))
		}
		got := appendTextForm(nil, packets)
		if again, err := (revision3{}).split(got, false, 100); err != nil || !reflect.DeepEqual(again, packets) || unfolded(body) && !bytes.Equal(got, body) {
			t.Fatalf("%q was written back as %q", body, got)
		}
	})
}

func FuzzPayload3Binary(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x01\xff2", "\x00\x09\xff4a\xe2\x82\xac\xf0\x9f\x98\x80\x01\x05\xff\x04\x01\x02\x03\xff", "\x01\x01\xff\x04", "\x01\x01\xff4", "\x00\x00\xff",
		"\x00\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4", "\x01\x01\x00\xff\x04123456789",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := slices.Clone(body)
		packets, err := (revision3{}).split(body, true, 100)
		if !bytes.Equal(body, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if len(packets) == 0 || len(packets) > 100 {
			t.Fatalf("%d packets", len(packets))
		}
		if got := appendBinaryForm(nil, packets); !bytes.Equal(got, body) {
			t.Fatalf("%q was written back as %q", body, got)
		}
	})
}
