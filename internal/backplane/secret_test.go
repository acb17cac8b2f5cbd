// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// question is what inboxes of these tests ask.
const question = 7

// sealedBy gives envelopes of one replica, as they travel: a heartbeat that answers the question,
// and emits.
func sealedBy(t *testing.T, secret *Secret, n int) (all [][]byte) {
	t.Helper()
	b := &fakeBackplane{}
	p := NewPublisher(b, "AAAAAA", secret, 1<<20, metrics.NewBackplane(nil))
	if err := p.Send("", &Heartbeat{Answers: question}); err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := p.Publish(&sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "e", Args: []byte(`["x"]`)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range b.sent {
		all = append(all, s.data)
	}
	return all
}

func inboxWith(secret *Secret) (*Inbox, *bytes.Buffer) {
	var log bytes.Buffer
	in := NewInbox("BBBBBB", secret, metrics.NewBackplane(nil), slog.New(slog.NewTextHandler(&log, nil)))
	in.Ask(question)
	return in, &log
}

// Replicas believe each other with the same secret and the same name of the cluster, or when none
// has a secret.
func TestSecret_Believes(t *testing.T) {
	one, same, other := NewSecret("one secret", "c"), NewSecret("one secret", "c"), NewSecret("another secret", "c")
	for name, test := range map[string]struct {
		sender, receiver *Secret
		believed         bool
		says             string
	}{
		"none":            {nil, nil, true, ""},
		"same":            {one, same, true, ""},
		"different":       {one, other, false, "another cluster-secret"},
		"other cluster":   {one, NewSecret("one secret", "d"), false, "another cluster-secret"},
		"sender has none": {nil, one, false, "no authentication code"},
		"only sender has": {one, nil, false, "this one has none"},
	} {
		t.Run(name, func(t *testing.T) {
			in, log := inboxWith(test.receiver)
			for i, data := range sealedBy(t, test.sender, 2) {
				if _, lost, ok := in.Open(data); ok != test.believed || lost.Missed() {
					t.Errorf("envelope %d: believed %v, lost %+v", i, ok, lost)
				}
			}
			if test.believed {
				return
			}
			if n := testutil.ToFloat64(in.metrics.IgnoredUnauthenticated); n != 3 {
				t.Errorf("%v of 3 are counted", n)
			}
			if s := log.String(); !strings.Contains(s, test.says) || !strings.Contains(s, "setting=cluster-secret") || strings.Count(s, "\n") != 1 {
				t.Errorf("logged %q", s)
			}
			if len(in.streams) != 0 {
				t.Error("the numbers of an unauthenticated sender are kept")
			}
		})
	}
}

// Whatever is changed in an envelope, it is dropped before it has any influence: genuine ones go
// on.
func TestSecret_Forged(t *testing.T) {
	secret := NewSecret("one secret", "c")
	all := sealedBy(t, secret, 2)
	in, _ := inboxWith(secret)
	if _, _, ok := in.Open(all[0]); !ok {
		t.Fatal("a genuine envelope was dropped")
	}
	genuine := all[1]
	forgeries := [][]byte{
		genuine[:len(genuine)-1], genuine[:len(genuine)-macLength], genuine[:len(genuine)-macLength-len(mark)], nil, mark,
		append(slices.Clone(genuine), 0), append(slices.Clone(genuine), genuine...),
		// a raised number, after the code and before a copy of it
		append(protowire.AppendVarint(protowire.AppendTag(slices.Clone(genuine), 5, protowire.VarintType), 1<<40), genuine[len(genuine)-macLength-len(mark):]...),
	}
	for i := range genuine {
		x := slices.Clone(genuine)
		x[i] ^= 1
		forgeries = append(forgeries, x)
	}
	for i, x := range forgeries {
		if e, _, ok := in.Open(x); ok {
			t.Fatalf("forgery %d was taken: %+v", i, e)
		}
	}
	if n := testutil.ToFloat64(in.metrics.IgnoredUnauthenticated); int(n) != len(forgeries) {
		t.Errorf("%v of %d are counted", n, len(forgeries))
	}
	if _, lost, ok := in.Open(genuine); !ok || lost.Envelopes != 0 {
		t.Errorf("the genuine one after all: %v, lost %+v", ok, lost)
	}
	if _, _, ok := in.Open(genuine); ok {
		t.Error("a replayed envelope was taken")
	}
}

// What was recorded of a replica is not believed by one that never met it: only who answers its
// question is there now.
func TestSecret_Replayed(t *testing.T) {
	secret := NewSecret("one secret", "c")
	in, _ := inboxWith(secret)
	in.Ask(question + 1)
	all := sealedBy(t, secret, 2)
	for range 2 {
		if e, _, ok := in.Open(all[0]); !ok || !e.Unproven {
			t.Error("a heartbeat that answers another question must be answered with one")
		}
		for _, data := range all[1:] {
			if _, _, ok := in.Open(data); ok {
				t.Error("a replayed emit was taken")
			}
		}
	}
	if n := testutil.ToFloat64(in.metrics.IgnoredUnproven); n != 4 || len(in.streams) != 0 {
		t.Errorf("%v are counted, %d streams kept", n, len(in.streams))
	}
	in.Ask(question)
	if e, lost, ok := in.Open(all[0]); !ok || e.Unproven || lost.Missed() {
		t.Errorf("the answer: %v, %+v", ok, lost)
	}
	if _, lost, ok := in.Open(all[1]); !ok || lost.Missed() {
		t.Errorf("what follows it: %v, %+v", ok, lost)
	}
}

// Authentication costs no allocation.
func TestSecret_Allocations(t *testing.T) {
	secret := NewSecret("one secret", "c")
	data := sealedBy(t, secret, 1)[0]
	body := data[:len(data)-macLength-len(mark)]
	room := make([]byte, len(data), len(data)+headerRoom)
	copy(room, body)
	if n := testing.AllocsPerRun(100, func() {
		secret.seal(secret.begin(body[:5]), room[:len(body)], 5)
		if _, ok := secret.verify(data); !ok {
			t.Error("not genuine")
		}
	}); n > 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// Losses that no socket can miss are counted apart from those that a socket may have missed.
func TestInbox_Open_Commands(t *testing.T) {
	const all, alone = sio.ReplicaID(""), sio.ReplicaID("BBBBBB")
	join := &Command{Command: &sio.Join{Target: sio.Target{Namespace: "/"}, Rooms: []sio.Room{"r"}}}
	in := newInbox()
	for i, step := range []struct {
		to                 sio.ReplicaID
		sequence, commands uint64
		body               Body
		want               Loss
	}{
		{all, 50, 0, &Lost{}, Loss{}},
		{all, 60, 0, &Lost{}, Loss{Envelopes: 9}},
		{all, 61, 1, join, Loss{}},
		{all, 65, 1, &Lost{}, Loss{Envelopes: 3}},
		{all, 70, 4, join, Loss{Envelopes: 4, Commands: 2}},
		{all, 71, 9, &Lost{}, Loss{Commands: 5}}, // the origin could not publish them
		{alone, 1, 1, join, Loss{}},
		{alone, 3, 3, join, Loss{Envelopes: 1, Commands: 1}},
	} {
		data, err := Encode(&Envelope{Origin: "AAAAAA", To: step.to, Epoch: 1, Sequence: step.sequence, Commands: step.commands, Body: step.body})
		if err != nil {
			t.Fatal(err)
		}
		if _, lost, ok := in.Open(data); !ok || lost != step.want {
			t.Errorf("step %d: %+v, %v; want %+v", i, lost, ok, step.want)
		}
	}
	met, err := Encode(&Envelope{Origin: "CCCCCC", Epoch: 1, Sequence: 7, Commands: 3, Body: &Lost{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, lost, _ := in.Open(met); !lost.Unproven {
		t.Error("what a replica sent before it was met cannot be known")
	}
	one, rest := in.Missing("AAAAAA", []Sent{{Epoch: 1, Sequence: 80, Commands: 12}, {Replica: alone, Epoch: 1, Sequence: 3, Commands: 4}})
	if want := (Loss{Envelopes: 9, Commands: 3}); rest != want || one != (Loss{Commands: 1}) {
		t.Errorf("a heartbeat reports %+v and %+v", one, rest)
	}
}
