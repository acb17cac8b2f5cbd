// SPDX-License-Identifier: Apache-2.0

package dispatch

import "github.com/spanwire/spanwire/internal/metrics"

// ring is a queue of lanes.
type ring struct {
	head, tail *lane
	len        int
	gauge      metrics.Gauge // never nil
}

func (r *ring) push(l *lane) {
	l.listed, l.prev, l.next = true, r.tail, nil
	if r.tail == nil {
		r.head = l
	} else {
		r.tail.next = l
	}
	r.tail = l
	r.len++
	r.gauge.Inc()
}

func (r *ring) pop() *lane {
	l := r.head
	if l != nil {
		r.remove(l)
	}
	return l
}

// remove takes a lane out that is in the ring.
func (r *ring) remove(l *lane) {
	if l.prev == nil {
		r.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		r.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.listed, l.prev, l.next = false, nil, nil
	r.len--
	r.gauge.Dec()
}

// takeAll appends all lanes to the list.
func (r *ring) takeAll(lanes []*lane) []*lane {
	for l := r.pop(); l != nil; l = r.pop() {
		lanes = append(lanes, l)
	}
	return lanes
}
