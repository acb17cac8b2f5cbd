// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
)

// entry is one event that an instance handled.
type entry struct {
	at             int64 // nanoseconds
	dispatch       uint64
	socket         string
	client, number int
	redeliveries   int
}

// key names an event among those of all browsers of a world.
type key struct{ client, number int }

// entries reads what an instance wrote down, also while it lives. A line that is not whole yet is
// left out.
func (w *world) entries(i *instance) (list []entry) {
	w.t.Helper()
	data, err := os.ReadFile(i.book)
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		if line[len(line)-1] != '\n' {
			break
		}
		var e entry
		if _, err := fmt.Sscan(string(line), &e.at, &e.dispatch, &e.socket, &e.client, &e.number, &e.redeliveries); err != nil {
			w.t.Fatalf("%s: line %q: %v", i.book, line, err)
		}
		list = append(list, e)
	}
	return list
}

// books is what a test ends with.
type books struct {
	sent, handled, redelivered, acked, lost, disconnects, duplicates int
}

// String is the line that each test prints.
func (b *books) String() string {
	return fmt.Sprintf("sent %d, handled %d, redelivered %d, acked %d, lost %d, disconnects %d, duplicates %d",
		b.sent, b.handled, b.redelivered, b.acked, b.lost, b.disconnects, b.duplicates)
}

// audit compares what was sent, handled and acked: nothing is lost, nobody was disconnected, every
// ack came once, and the order of each socket is kept. It is called when all loads have settled.
func (w *world) audit() *books {
	w.t.Helper()
	b := &books{redelivered: w.metric(w.front, "spanwire_dispatch_redelivered_dispatches_total")}
	for _, l := range w.loads {
		b.sent += l.Sent()
		b.acked += l.Acked()
		b.disconnects += l.fleet.Disconnects()
		if l.Repeated() != 0 || l.Wrong() != 0 {
			w.t.Errorf("%d acks came twice, %d were wrong", l.Repeated(), l.Wrong())
		}
	}
	var all []entry
	for _, i := range w.instances {
		list := w.entries(i)
		w.ordered(i.Name, list, func(e *entry) bool { return e.redeliveries > 0 })
		all = append(all, list...)
	}
	b.handled, b.duplicates = w.count(all)
	b.lost = b.sent - min(b.handled, b.acked)
	w.ordered("all instances", w.valid(all), func(*entry) bool { return false })
	w.t.Log(b)
	if b.lost != 0 || b.handled != b.sent || b.disconnects != 0 {
		w.t.Errorf("the books do not agree: %v", b)
	}
	if n := w.metric(w.front, "spanwire_dispatch_dropped_dispatches_total"); n != w.poison {
		w.t.Errorf("the broker dropped %d dispatches, not %d", n, w.poison)
	}
	return b
}

// count gives the events that were handled, and how often one was again. All hand-outs of an event
// have one id.
func (w *world) count(all []entry) (handled, duplicates int) {
	w.t.Helper()
	ids := make(map[key]uint64, len(all))
	for _, e := range all {
		k := key{e.client, e.number}
		if id, again := ids[k]; again {
			duplicates++
			if id != e.dispatch {
				w.t.Errorf("event %d of client %d is dispatch %d and %d", e.number, e.client, id, e.dispatch)
			}
		}
		ids[k] = e.dispatch
	}
	return len(ids), duplicates
}

// valid leaves of each dispatch the last hand-out that was handled, in the order of time: an
// instance that was given up may have worked on what others had been given meanwhile.
func (w *world) valid(all []entry) (list []entry) {
	last := make(map[uint64]int, len(all))
	for _, e := range all {
		last[e.dispatch] = max(last[e.dispatch], e.redeliveries)
	}
	for _, e := range all {
		if e.redeliveries == last[e.dispatch] {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	return list
}

// ordered checks that no client's numbers go back, except where they may.
func (w *world) ordered(where string, list []entry, may func(*entry) bool) {
	w.t.Helper()
	last := make(map[int]entry)
	for _, e := range list {
		before, met := last[e.client]
		if met && e.number <= before.number && !may(&e) {
			w.t.Errorf("%s: client %d went from %+v back to %+v", where, e.client, before, e)
			return
		}
		last[e.client] = e
	}
}
