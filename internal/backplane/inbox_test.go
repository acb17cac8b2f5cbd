// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

func encoded(t *testing.T, to sio.ReplicaID, epoch, sequence uint64) []byte {
	t.Helper()
	data, err := Encode(&Envelope{Origin: "AAAAAA", To: to, Epoch: epoch, Sequence: sequence, Body: &Bye{}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Losses are counted for each stream by itself, envelopes that come twice are dropped, and a new
// epoch starts again.
func TestInbox_Open(t *testing.T) {
	const self, all = sio.ReplicaID("BBBBBB"), sio.ReplicaID("")
	in := newInbox()
	for i, step := range []struct {
		to              sio.ReplicaID
		epoch, sequence uint64
		lost            uint64
		ok              bool
	}{
		{all, 10, 50, 0, true}, // met in the middle of its life
		{all, 10, 51, 0, true},
		{all, 10, 51, 0, false},
		{all, 10, 3, 0, false},
		{all, 10, 55, 3, true},
		{self, 20, 3, 2, true}, // begins with this replica
		{self, 20, 4, 0, true},
		{all, 10, 56, 0, true},
		{self, 19, 9, 0, false}, // replayed from an older epoch
		{self, 21, 1, 0, true},
		{self, 22, 3, 2, true},
		{self, 20, 5, 0, false},
		{"CCCCCC", 1, 1, 0, false}, // for another
	} {
		_, lost, ok := in.Open(encoded(t, step.to, step.epoch, step.sequence))
		if lost.Envelopes != step.lost || ok != step.ok {
			t.Errorf("step %d: lost %d, ok %v; want %d, %v", i, lost.Envelopes, ok, step.lost, step.ok)
		}
	}
	m := in.metrics
	if testutil.ToFloat64(m.Gaps) != 3 || testutil.ToFloat64(m.Lost) != 7 || testutil.ToFloat64(m.IgnoredRepeated) != 4 || testutil.ToFloat64(m.IgnoredForeign) != 1 {
		t.Errorf("gaps %v, lost %v, repeated %v, foreign %v", testutil.ToFloat64(m.Gaps), testutil.ToFloat64(m.Lost), testutil.ToFloat64(m.IgnoredRepeated), testutil.ToFloat64(m.IgnoredForeign))
	}
}

// What makes no sense is ignored and counted by its reason.
func TestInbox_Open_Garbage(t *testing.T) {
	in := newInbox()
	for range 3 {
		in.Open([]byte("garbage\xff"))
	}
	in.Open([]byte{8, 7})
	unknown, err := Encode(&Envelope{Origin: "AAAAAA", Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	in.Open(unknown)
	own, err := Encode(&Envelope{Origin: in.self, Sequence: 1, Body: &Bye{}})
	if err != nil {
		t.Fatal(err)
	}
	in.Open(own)
	m := in.metrics
	if testutil.ToFloat64(m.IgnoredMalformed) != 3 || testutil.ToFloat64(m.IgnoredVersion) != 1 || testutil.ToFloat64(m.IgnoredUnknown) != 1 || testutil.ToFloat64(m.IgnoredForeign) != 1 {
		t.Errorf("garbage %v, version %v, unknown %v, foreign %v", testutil.ToFloat64(m.IgnoredMalformed), testutil.ToFloat64(m.IgnoredVersion),
			testutil.ToFloat64(m.IgnoredUnknown), testutil.ToFloat64(m.IgnoredForeign))
	}
	if testutil.ToFloat64(m.Received) != 6 {
		t.Errorf("received %v", testutil.ToFloat64(m.Received))
	}
}

// A heartbeat reveals the loss of the last envelopes, once.
func TestInbox_Missing(t *testing.T) {
	in := newInbox()
	sent := func(epoch, sequence uint64) []Sent {
		return []Sent{{Replica: "CCCCCC", Epoch: 1, Sequence: 1000}, {Replica: in.self, Epoch: epoch, Sequence: sequence}}
	}
	if lost := missing(in, "AAAAAA", sent(5, 2)); lost != 2 {
		t.Errorf("lost %d of 2 that never came", lost)
	}
	in.Open(encoded(t, in.self, 5, 3))
	if lost := missing(in, "AAAAAA", sent(5, 3)); lost != 0 {
		t.Errorf("lost %d of none", lost)
	}
	if lost := missing(in, "AAAAAA", sent(5, 7)); lost != 4 {
		t.Errorf("lost %d of 4", lost)
	}
	if lost := missing(in, "AAAAAA", sent(4, 100)); lost != 0 {
		t.Errorf("lost %d in an old epoch", lost)
	}
	if _, lost, ok := in.Open(encoded(t, in.self, 5, 8)); lost.Envelopes != 0 || !ok {
		t.Errorf("the next after a loss: lost %v, ok %v", lost, ok)
	}
}

func missing(in *Inbox, origin sio.ReplicaID, sent []Sent) uint64 {
	alone, _ := in.Missing(origin, sent)
	return alone.Envelopes
}

// Made-up origins do not fill memory, and what comes of one that has left is old: a replica has a
// new id in each of its lives.
func TestInbox_Bounded(t *testing.T) {
	in := newInbox()
	for i := range 2 * maxStreams {
		data, err := Encode(&Envelope{Origin: sio.ReplicaID(fmt.Sprint("origin", i)), Sequence: 9, Epoch: 1, Body: &Bye{}})
		if err != nil {
			t.Fatal(err)
		}
		in.Open(data)
	}
	if len(in.streams) > maxStreams {
		t.Errorf("%d streams kept", len(in.streams))
	}
	in.Open(encoded(t, "", 1, 9))
	in.Left("AAAAAA")
	for _, sequence := range []uint64{1, 10} {
		if _, _, ok := in.Open(encoded(t, "", 1, sequence)); ok {
			t.Errorf("envelope %d of an origin that has left was taken", sequence)
		}
	}
}
