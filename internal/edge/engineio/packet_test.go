// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Each text form reads as one packet, and that packet writes as the same text.
func TestParsePacket(t *testing.T) {
	for text, want := range map[string]Packet{
		"0{}":       {Type: PacketOpen, Data: []byte("{}")},
		"1":         {Type: PacketClose},
		"2":         {Type: PacketPing},
		"2probe":    {Type: PacketPing, Data: []byte("probe")},
		"3":         {Type: PacketPong},
		"4":         {Type: PacketMessage},
		"4hello €":  {Type: PacketMessage, Data: []byte("hello €")},
		"5":         {Type: PacketUpgrade},
		"6":         {Type: PacketNoop},
		"b":         {Type: PacketMessage, Binary: true},
		"bAQIDBA==": {Type: PacketMessage, Binary: true, Data: []byte{1, 2, 3, 4}},
	} {
		p, err := ParsePacket([]byte(text))
		if err != nil || p.Type != want.Type || p.Binary != want.Binary || !bytes.Equal(p.Data, want.Data) {
			t.Errorf("%q: got %+v, %v", text, p, err)
		}
		if got := AppendPacket(nil, p); string(got) != text {
			t.Errorf("%q: written back as %q", text, got)
		}
	}
	if p, err := ParsePacket([]byte("bAQI\nDBA==\n")); err != nil || !bytes.Equal(p.Data, []byte{1, 2, 3, 4}) {
		t.Errorf("folded base64: %+v, %v", p, err)
	}
	for _, text := range []string{"", "7", "9abc", "abc", "b*", "bAQIDBA", "bAQIDBA=", "bAQIDBB==", "4\xff", "bé", " 4"} {
		if p, err := ParsePacket([]byte(text)); err == nil {
			t.Errorf("%q: taken as %+v", text, p)
		}
	}
}

// A payload is taken whole or not at all, and bounded in packets (P2, P16, H1, H2, H5).
func TestSplitPayload(t *testing.T) {
	for body, want := range map[string]int{"4a": 1, "4a\x1e4b": 2, "4a\x1ebAQ==\x1e2": 3, strings.Repeat("\x1e4", 9)[1:]: 9} {
		packets, err := SplitPayload([]byte(body), 9)
		if err != nil || len(packets) != want {
			t.Errorf("%q: got %v, %v", body, packets, err)
		}
		if got := AppendPayload(nil, packets); string(got) != body {
			t.Errorf("%q: written back as %q", body, got)
		}
	}
	for _, body := range []string{"", "\x1e", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "4a\x1eabc", "4\xc3\x1e4\xa9", strings.Repeat("\x1e4", 10)[1:]} {
		if packets, err := SplitPayload([]byte(body), 9); err == nil {
			t.Errorf("%q: taken as %+v", body, packets)
		}
	}
}

// A huge body of tiny packets costs a count, not a list (H1, H2).
func TestSplitPayload_ErrTooManyIsCheap(t *testing.T) {
	body := bytes.Repeat([]byte("\x1e2"), 490_000)
	if n := testing.AllocsPerRun(10, func() { SplitPayload(body, 1000) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPacket(f *testing.F) {
	for _, seed := range []string{"", "0{}", "1", "2probe", "3", "4é", "5", "6", "b", "bAQ==", "bAQIDBA==", "b\n", "7", "4\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := slices.Clone(text)
		p, err := ParsePacket(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		got := AppendPacket(nil, p)
		if again, err := ParsePacket(got); err != nil || !reflect.DeepEqual(again, p) || unfolded(text) && !bytes.Equal(got, text) {
			t.Fatalf("%q was written back as %q", text, got)
		}
	})
}

// unfolded tells that there are no line ends, which base64 may have and does not get back.
func unfolded(text []byte) bool { return !bytes.ContainsAny(text, "\r\n") }

func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "4a", "4a\x1e4b", "bAQ==\x1e2", "\x1e", "4\x1e\x1e4", "4\xc3\x1e4\xa9"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		packets, err := SplitPayload(body, 100)
		if err != nil {
			return
		}
		if len(packets) > 100 {
			t.Fatalf("%d packets", len(packets))
		}
		got := AppendPayload(nil, packets)
		if again, err := SplitPayload(got, 100); err != nil || !reflect.DeepEqual(again, packets) || unfolded(body) && !bytes.Equal(got, body) {
			t.Fatalf("%q was written back as %q", body, got)
		}
	})
}

func BenchmarkSplitPayload(b *testing.B) {
	body := bytes.Repeat([]byte("\x1e42[\"event\",{\"a\":1}]"), 10)[1:]
	b.ReportAllocs()
	for b.Loop() {
		SplitPayload(body, 1000)
	}
}
