// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// doubt is what keeps a publisher from saying that the others were reached: after a loss, until
// each replica that was there has answered, and while one is silent. The mesh, which knows both,
// tells it.
type doubt struct {
	seen   atomic.Uint64 // the Backplane.Losses of which absent knows
	absent atomic.Pointer[[]sio.ReplicaID]
	// the link was lost, and some of those have not answered since; else they are silent only
	linked atomic.Bool
	until  atomic.Pointer[time.Time] // when it is out of date
}

// Doubt names the replicas that were there and are not known to hear this one now, with the count
// of Backplane.Losses that this takes into account. linked says that some of them have not answered
// since a loss of the link. After the given time nothing is certain: a process that was paused has
// not listened.
func (p *Publisher) Doubt(seen uint64, absent []sio.ReplicaID, linked bool, until time.Time) {
	p.doubt.linked.Store(linked)
	if len(absent) == 0 {
		p.doubt.absent.Store(nil)
	} else {
		all := slices.Clone(absent)
		p.doubt.absent.Store(&all)
	}
	p.doubt.until.Store(&until)
	p.doubt.seen.Store(seen)
}

// Certain implements hub.Publisher.
func (p *Publisher) Certain() bool {
	if p.doubt.absent.Load() != nil || p.doubt.seen.Load() != p.backplane.Losses() || p.backplane.Healthy() != nil {
		return false
	}
	until := p.doubt.until.Load()
	return until == nil || time.Now().Before(*until) || len(p.others()) == 0
}

// partial tells what is known of a command that was sent, or could not be, with the error: nil when
// every replica that should get it is there. It is asked for every command, so it costs next to
// nothing when all is well.
func (p *Publisher) partial(to sio.ReplicaID, err error) error {
	absent, seen := p.doubt.absent.Load(), p.doubt.seen.Load() == p.backplane.Losses()
	if err == nil && seen && (absent == nil || to != "" && !slices.Contains(*absent, to)) {
		return nil
	}
	if err != nil && sio.CodeOf(err) != sio.CodeUnavailable {
		return err
	}
	code, message := sio.CodeUnavailable, ""
	switch {
	case errors.Is(err, ErrKept):
		message = "the backplane is down: the command waits (setting nats-reconnect-buffer), and replicas that are back in time get it later"
	case err != nil:
		message = "the backplane is down, and the command is not kept for later (setting nats-reconnect-buffer)"
	case seen && !p.doubt.linked.Load():
		// The caller cannot repair that, and the other replicas got it: it is logged, and is no
		// failure.
		code, message = sio.CodeDeadline, "some replicas are silent, and may not get the command"
	case seen:
		message = "some replicas have not answered since the backplane was down, and may not get the command"
	default:
		message = "the backplane was down a moment ago, and not every replica has answered since"
	}
	return &sio.Error{
		Code: code, Op: "publish", Message: message, Cause: &sio.UnreachedError{Replicas: p.unreached(to, absent, err != nil), Cause: err},
	}
}

// unreached names the replicas that a command may not have reached: all that it was for when it
// could not be sent, else those that are absent.
func (p *Publisher) unreached(to sio.ReplicaID, absent *[]sio.ReplicaID, unsent bool) (all []sio.ReplicaID) {
	if unsent || to != "" {
		all = p.receivers(to)
	}
	if absent != nil && to == "" {
		all = append(all, *absent...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lostTrack lists replicas that were there, are not known to be gone, and cannot be asked now.
func (p *Publisher) lostTrack(to sio.ReplicaID) (all []sio.ReplicaID) {
	absent := p.doubt.absent.Load()
	if absent == nil || to != "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range *absent {
		if _, there := p.replicas[r]; !there {
			all = append(all, r)
		}
	}
	return all
}

// receivers lists the replicas that something goes to.
func (p *Publisher) receivers(to sio.ReplicaID) []sio.ReplicaID {
	if to != "" {
		return []sio.ReplicaID{to}
	}
	return p.others()
}
