// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func follow(t *testing.T, b *Board, filter Filter) *Follower {
	t.Helper()
	f, err := b.Follow(filter)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func next(t *testing.T, f *Follower) []Entry {
	t.Helper()
	all, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A follower gets what fits all that it asked for.
func TestBoard_Happened_filters(t *testing.T) {
	reaches := func(id sio.SocketID) bool { return id == "s" }
	in := func(r sio.Room) bool { return r == "r" }
	happened := []sio.TraceEvent{
		0: {Kind: sio.Connected, Namespace: "/", Socket: "s"},
		1: {Kind: sio.Dispatched, Namespace: "/n", Socket: "s", Service: "chat"},
		2: {Kind: sio.Emitted, Namespace: "/", Rooms: []sio.Room{"r"}, Reaches: reaches, In: in},
		3: {Kind: sio.Emitted, Namespace: "/", Rooms: []sio.Room{"q"}, Reaches: reaches, In: func(sio.Room) bool { return false }},
		4: {Kind: sio.Disconnected, Namespace: "/", Socket: "t", In: in},
		5: {Kind: sio.Dispatched, Namespace: "/", Service: "chat"},
	}
	for _, tt := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, "0 1 2 3 4 5"},
		{Filter{Namespace: "/n"}, "1"},
		{Filter{Socket: "s"}, "0 1 2 3"},
		{Filter{Socket: "t"}, "4"},
		{Filter{Service: "chat"}, "1 5"},
		{Filter{Service: "chat", Namespace: "/n"}, "1"},
		{Filter{Room: "r"}, "0? 1? 2 4"},
		{Filter{Room: "q"}, "0? 1? 3"},
		{Filter{Room: "s"}, "0 1"},
		{Filter{Room: "r", Socket: "s"}, "0? 1? 2"},
	} {
		b := New(Options{}, metrics.NewTrace(nil))
		f := follow(t, b, tt.filter)
		for i := range happened {
			o := happened[i]
			o.Detail = fmt.Sprint(i)
			b.Happened(&o)
		}
		var got []string
		for _, e := range next(t, f) {
			got = append(got, e.Detail+map[bool]string{true: "?"}[e.Uncertain])
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %v, want %s", tt.filter, got, tt.want)
		}
		f.Close()
	}
}

// A slow follower misses what exceeds its backlog, gets the number, and has nothing that changes
// afterwards or is very large.
func TestFollower_Next(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Backlog: 2}, metrics.NewTrace(nil))
		if b.Following() {
			t.Error("a caller follows")
		}
		f := follow(t, b, Filter{})
		args := []byte(`["` + strings.Repeat("x", 5000) + `"]`)
		for range 5 {
			b.Happened(&sio.TraceEvent{Event: sio.Event{Name: "e", Args: args, Attachments: [][]byte{{1}}}})
		}
		args[2] = 'y'
		all := next(t, f)
		if e := all[0].Event; len(all) != 2 || len(e.Args)+len(e.Name) != maxPayload || e.Args[2] != 'x' || e.Attachments != nil {
			t.Errorf("%d, of %d bytes, %v", len(all), len(e.Args), e.Attachments)
		}
		b.Happened(&sio.TraceEvent{})
		b.Happened(&sio.TraceEvent{})
		if all = next(t, f); len(all) != 2 || all[0].Missed != 3 || all[1].Missed != 0 {
			t.Errorf("then %+v", all)
		}
		if queued, missed := testutil.ToFloat64(b.metrics.Queued), testutil.ToFloat64(b.metrics.Missed); queued != 4 || missed != 3 {
			t.Errorf("queued %v, missed %v", queued, missed)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Next(ctx); err == nil {
			t.Error("nothing happened, and there was no error")
		}
		f.Close()
		if b.Following() || testutil.ToFloat64(b.metrics.Watchers) != 0 {
			t.Error("a caller follows still")
		}
	})
}

// Followers are bounded, and one that leaves makes room.
func TestBoard_Follow(t *testing.T) {
	b := New(Options{MaxTails: 2}, metrics.NewTrace(nil))
	one, two := follow(t, b, Filter{}), follow(t, b, Filter{})
	if _, err := b.Follow(Filter{}); sio.CodeOf(err) != sio.CodeTooLarge || !strings.Contains(err.Error(), "max-tails") {
		t.Errorf("a third: %v", err)
	}
	one.Close()
	three := follow(t, b, Filter{})
	b.Happened(&sio.TraceEvent{})
	if len(next(t, two)) != 1 || len(next(t, three)) != 1 || testutil.ToFloat64(b.metrics.Rejected) != 1 {
		t.Error("those that are left were not notified")
	}
}

// While nobody follows, asking costs nothing.
func TestBoard_Following_allocs(t *testing.T) {
	b := New(Options{}, metrics.NewTrace(nil))
	if n := testing.AllocsPerRun(100, func() {
		if b.Following() {
			t.Error("a caller follows")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
