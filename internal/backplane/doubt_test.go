// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A command is answered without an error only when every replica that was there is known to hear
// this one.
func TestPublisher_Publish_Partial(t *testing.T) {
	away := sio.E(sio.CodeUnavailable, "publish", "away")
	kept := &sio.Error{Code: sio.CodeUnavailable, Op: "publish", Message: "away", Cause: ErrKept}
	there := sio.NewSocketID(other).Room()
	for name, test := range map[string]struct {
		losses, seen uint64
		silent       bool // without a loss
		absent       []sio.ReplicaID
		err          error
		rooms        []sio.Room
		want         []sio.ReplicaID // nil: no error
		says         string
	}{
		"all well":                   {},
		"down":                       {err: away, want: []sio.ReplicaID{other, third}, says: "not kept for later"},
		"down and kept":              {err: kept, want: []sio.ReplicaID{other, third}, says: "nats-reconnect-buffer"},
		"down, for one":              {err: kept, rooms: []sio.Room{there}, want: []sio.ReplicaID{other}},
		"down, with one lost before": {err: kept, absent: []sio.ReplicaID{"DDDDDD"}, want: []sio.ReplicaID{other, third, "DDDDDD"}},
		"back, and not looked at":    {losses: 1, want: []sio.ReplicaID{}, says: "a moment ago"},
		"back, and one awaited":      {losses: 1, seen: 1, absent: []sio.ReplicaID{third}, want: []sio.ReplicaID{third}, says: "have not answered"},
		"back, for one who answered": {losses: 1, seen: 1, absent: []sio.ReplicaID{third}, rooms: []sio.Room{there}},
		"back, for one who did not":  {losses: 1, seen: 1, absent: []sio.ReplicaID{other}, rooms: []sio.Room{there}, want: []sio.ReplicaID{other}},
		"one is silent":              {silent: true, absent: []sio.ReplicaID{third}, want: []sio.ReplicaID{third}, says: "are silent"},
		"back, and all answered":     {losses: 1, seen: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, b := newPublisher()
			p.Joined(other)
			p.Joined(third)
			b.err = test.err
			b.losses.Store(test.losses)
			p.Doubt(test.seen, test.absent, !test.silent, time.Now().Add(time.Minute))
			err := p.Publish(&sio.Leave{Target: sio.Target{Namespace: "/", Rooms: test.rooms}})
			if test.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			code := sio.CodeUnavailable
			if test.silent {
				code = sio.CodeDeadline
			}
			if sio.CodeOf(err) != code || !slices.Equal(sio.UnreachedIn(err), test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v of %v, want %v", err, sio.UnreachedIn(err), test.want)
			}
		})
	}
}

// What waits to be sent has its number; a command that was not taken is counted all the same, so
// that the others notice.
func TestPublisher_Send_Kept(t *testing.T) {
	p, b := newPublisher()
	join := &Command{Command: &sio.Join{Target: sio.Target{Namespace: "/"}, Rooms: []sio.Room{"r"}}}
	volatile := &Command{Command: &sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "e"}, EmitFlags: sio.EmitFlags{Volatile: true}}}
	for i, step := range []struct {
		body     Body
		err      error
		fails    bool // that it waits or failed
		sequence uint64
		commands uint64
	}{
		{join, nil, false, 1, 1},
		{join, &sio.Error{Code: sio.CodeUnavailable, Cause: ErrKept}, true, 2, 2},
		{&Lost{}, &sio.Error{Code: sio.CodeUnavailable, Cause: ErrKept}, false, 3, 2},
		{join, sio.E(sio.CodeUnavailable, "publish", "full"), true, 3, 3},
		{&Lost{}, sio.E(sio.CodeUnavailable, "publish", "full"), true, 3, 3},
		{join, errors.New("too large"), true, 3, 3},
		{volatile, nil, false, 4, 3},
	} {
		b.err = step.err
		if err := p.Send("", step.body); (err != nil) != step.fails {
			t.Errorf("step %d: %v", i, err)
		}
		if s := p.Sent()[0]; s.Sequence != step.sequence || s.Commands != step.commands {
			t.Errorf("step %d: counted %+v", i, s)
		}
	}
}

// A replica that dies before it said what it had is named; one that drains is not.
func TestPublisher_Died(t *testing.T) {
	p, b := newPublisher()
	p.Joined(other)
	p.Joined(third)
	counted := p.Query(t.Context(), &sio.Counted{Command: &sio.Leave{Target: sio.Target{Namespace: "/"}}})
	acks := p.Ask(t.Context(), &sio.Emit{Target: sio.Target{Namespace: "/"}, Event: sio.Event{Name: "e"}, CountOnly: true})
	if n := len(b.take(t)); n != 2 {
		t.Fatalf("%d envelopes", n)
	}
	p.Left(third)
	p.Died(other)
	found, err := counted()
	if err != nil || !slices.Equal(found.Silent, []sio.ReplicaID{other}) {
		t.Errorf("a counted command: %v, silent %v", err, found.Silent)
	}
	came, err := acks()
	if err == nil || !slices.Equal(came.Silent, []sio.ReplicaID{other}) {
		t.Errorf("an emit: %v, silent %v", err, came.Silent)
	}
}
