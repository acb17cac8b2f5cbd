// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// All receivers of a delivery share one ack id, and each emit has its own.
func TestHub_Collect_OK(t *testing.T) {
	h := newHub(Alone{})
	ids := map[sio.AckID]int{}
	var mu sync.Mutex
	for range 3 {
		s := addSocket(h, main)
		s.deliver = func(d *Delivery) {
			mu.Lock()
			ids[d.AckID]++
			mu.Unlock()
			if !d.WantsAck {
				t.Error("ack not wanted")
			}
			d.Acked(s.id, sio.Ack{Args: []byte(`["` + string(s.id) + `"]`)})
			d.Acked(s.id, sio.Ack{}) // a second answer counts for nothing
			d.Left(s.id)
		}
	}
	for range 2 {
		n, acks := collect(t.Context(), h, emit(main))
		if n != 3 || len(acks.Came) != 3 || acks.Missing != 0 {
			t.Fatalf("asked %d, came %d, missing %d", n, len(acks.Came), acks.Missing)
		}
		for _, a := range acks.Came {
			if want := `["` + string(a.Socket) + `"]`; string(a.Ack.Args) != want {
				t.Errorf("ack of %s is %s", a.Socket, a.Ack.Args)
			}
		}
	}
	if ids[0] != 3 || ids[1] != 3 || len(ids) != 2 {
		t.Errorf("ack ids: %v", ids)
	}
	if n := testutil.ToFloat64(h.metrics.Collections); n != 0 {
		t.Errorf("%v collections still open", n)
	}
}

// An emit without receivers does not wait.
func TestHub_Collect_Nobody(t *testing.T) {
	h := newHub(Alone{})
	if n, acks := collect(t.Context(), h, emit(main, "r")); n != 0 || len(acks.Came) != 0 || acks.Missing != 0 {
		t.Errorf("asked %d: %+v", n, acks)
	}
}

// A socket that leaves settles its part at once; one that stays silent is missing when the time is
// over, and late answers do no harm.
func TestHub_Collect_Missing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Alone{})
		answering, leaving, silent := addSocket(h, main), addSocket(h, main), addSocket(h, main)
		answering.deliver = func(d *Delivery) { d.Acked(answering.id, sio.Ack{}) }
		leaving.deliver = func(d *Delivery) { go d.Left(leaving.id) }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		if n, acks := collect(ctx, h, emit(main)); n != 3 || len(acks.Came) != 1 || acks.Missing != 2 {
			t.Errorf("asked %d: %+v", n, acks)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("took %v", took)
		}
		silent.got[0].Acked(silent.id, sio.Ack{})
		silent.got[0].Left(silent.id)

		h.Remove(main, silent.id)
		start = time.Now()
		if _, acks := collect(ctx, h, emit(main, answering.id.Room(), leaving.id.Room())); len(acks.Came) != 1 || acks.Missing != 1 {
			t.Errorf("%+v", acks)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v though all had settled", took)
		}
	})
}

// What other replicas gathered is added, also beside an error.
func TestHub_EmitWithAcks(t *testing.T) {
	there := sio.Acks{Came: []sio.SocketAck{{Socket: "x"}}, Missing: 2}
	p := &fakePublisher{gather: func(context.Context) (sio.Acks, error) { return there, nil }}
	h := newHub(p)
	a := addSocket(h, main)
	a.deliver = func(d *Delivery) { d.Acked(a.id, sio.Ack{}) }
	n, acks, err := emitWithAcks(t.Context(), h, emit(main))
	if n != 1 || len(acks.Came) != 2 || acks.Missing != 2 || err != nil {
		t.Errorf("asked %d, %+v, %v", n, acks, err)
	}
	p.gather = func(context.Context) (sio.Acks, error) { return there, errors.New("down") }
	_, acks, err = emitWithAcks(t.Context(), h, emit(main))
	if len(acks.Came) != 2 || sio.CodeOf(err) != sio.CodeUnavailable {
		t.Errorf("%+v, %v", acks, err)
	}
	p.gather = func(context.Context) (sio.Acks, error) {
		t.Error("asked other replicas for a local socket")
		return sio.Acks{}, nil
	}
	if _, acks, err = emitWithAcks(t.Context(), h, emit(main, a.id.Room())); len(acks.Came) != 1 || err != nil {
		t.Errorf("%+v, %v", acks, err)
	}
}

// collect delivers the emit to sockets of this replica and waits for their acks.
func collect(ctx context.Context, h *Hub, e *sio.Emit) (sockets int, acks sio.Acks) {
	c := h.Ask(e)
	return c.Sockets(), c.Wait(ctx)
}

// emitWithAcks delivers the emit in the whole cluster and waits for the acks.
func emitWithAcks(ctx context.Context, h *Hub, e *sio.Emit) (sockets int, acks sio.Acks, err error) {
	sockets, collect := h.AskEveryone(ctx, e)
	acks, err = collect()
	return sockets, acks, err
}
