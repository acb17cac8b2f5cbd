// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"bytes"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// JournalOptions bound what a hub keeps of each namespace's events for sockets that come back. With
// a Retention of zero it keeps nothing.
type JournalOptions struct {
	Retention time.Duration
	MaxEvents int
	MaxBytes  int
}

// journal keeps the events of one namespace, in the order in which its sockets got them.
type journal struct {
	// fixed at birth
	options  *JournalOptions
	metrics  *metrics.Hub
	sequence *atomic.Uint64 // the hub's

	mu      sync.Mutex  // guards the fields below
	entries []*entry    // by rising sequence
	bytes   int         // of the entries
	lost    uint64      // entries up to this sequence may be missing
	timer   *time.Timer // rings when the oldest entry is too old; nil while there is none
}

// newJournal makes one for a new namespace; nil when nothing is kept.
func (h *Hub) newJournal() *journal {
	if h.journal.Retention <= 0 {
		return nil
	}
	return &journal{options: &h.journal, metrics: h.metrics, sequence: &h.sequence}
}

// entry is one event and for whom it was. It never changes.
type entry struct {
	sequence uint64
	at       time.Time
	rooms    []sio.Room
	except   []sio.Room
	event    sio.Event
	flags    sio.EmitFlags
	size     int
}

// entryOverhead is what an entry costs beside its event and its rooms, for the limit.
const entryOverhead = 256

func newEntry(sequence uint64, e *sio.Emit) *entry {
	n := &entry{
		sequence: sequence, at: time.Now(), event: e.Event, flags: e.EmitFlags,
		rooms: append([]sio.Room(nil), e.Target.Rooms...), except: append([]sio.Room(nil), e.Target.Except...),
	}
	n.size = entryOverhead + e.Event.Size()
	for _, r := range n.rooms {
		n.size += len(r)
	}
	for _, r := range n.except {
		n.size += len(r)
	}
	return n
}

// add appends an entry. Its sequence is higher than those before, since the caller has the
// namespace's turn.
func (j *journal) add(n *entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, n)
	j.bytes += n.size
	j.metrics.JournalEvents.Inc()
	j.metrics.JournalBytes.Add(float64(n.size))
	for len(j.entries) > j.options.MaxEvents || j.bytes > j.options.MaxBytes {
		j.metrics.JournalOverflows.Inc()
		j.dropLocked()
	}
	if j.timer == nil && len(j.entries) > 0 {
		j.armLocked(j.options.Retention)
	}
}

// dropLocked drops the oldest entry.
func (j *journal) dropLocked() {
	n := j.entries[0]
	j.entries[0] = nil
	j.entries = j.entries[1:]
	j.bytes -= n.size
	j.lost = n.sequence
	j.metrics.JournalEvents.Dec()
	j.metrics.JournalBytes.Sub(float64(n.size))
}

// armLocked sets the timer. It runs on the runtime's goroutine and ends by itself once nothing is
// kept.
func (j *journal) armLocked(d time.Duration) { j.timer = time.AfterFunc(d, j.expire) }

// expire drops what is too old.
func (j *journal) expire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.timer == nil {
		return // cleared meanwhile
	}
	j.timer = nil
	for len(j.entries) > 0 {
		if left := j.options.Retention - time.Since(j.entries[0].at); left > 0 {
			j.armLocked(left)
			return
		}
		j.dropLocked()
	}
	j.entries = nil
}

// clear drops everything: the namespace ceased, and no socket can come back to it.
func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.entries) > 0 {
		j.dropLocked()
	}
	j.entries = nil
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// lostUpTo is the sequence up to which entries may be missing.
func (j *journal) lostUpTo() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lost
}

// after copies the entries behind a sequence; complete tells whether none is missing among them.
func (j *journal) after(sequence uint64) (entries []*entry, complete bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if sequence < j.lost {
		return nil, false
	}
	from := sort.Search(len(j.entries), func(i int) bool { return j.entries[i].sequence > sequence })
	return append([]*entry(nil), j.entries[from:]...), true
}

// An offset is what a browser remembers of the last event that it got: the replica whose journal
// counts, and the sequence.
const offsetSeparator = "."

func (h *Hub) offset(sequence uint64) string {
	const base = 36
	text := make([]byte, 0, len(h.replica)+len(offsetSeparator)+8)
	text = append(append(text, h.replica...), offsetSeparator...)
	return string(strconv.AppendUint(text, sequence, base))
}

// parseOffset tells the sequence of an offset; here tells whether this replica wrote it.
func (h *Hub) parseOffset(offset string) (sequence uint64, here, ok bool) {
	replica, count, found := strings.Cut(offset, offsetSeparator)
	sequence, err := strconv.ParseUint(count, 36, 64)
	if !found || err != nil || len(replica) != len(h.replica) {
		return 0, false, false
	}
	here = replica == string(h.replica)
	return sequence, here, !here || sequence <= h.sequence.Load()
}

// takesOffset tells whether browsers get an offset with the event. They take the last argument
// for one when it is text, or the name when there are no arguments; so a volatile event that ends
// in text needs one as well, although it is not kept.
func takesOffset(e *sio.Emit) bool {
	if !e.Volatile {
		return true
	}
	args, _ := openArgs(e.Event.Args)
	return len(args) < 2 || args[len(args)-1] == '"'
}

// openArgs gives the arguments without the bracket that closes them and without space at both ends;
// some tells that there are any.
func openArgs(args []byte) (open []byte, some bool) {
	open = bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(args), []byte("]")))
	return open, len(open) > 1
}

// WithOffset gives the arguments of an event with the offset as one more.
func WithOffset(args []byte, offset string) []byte {
	open, some := openArgs(args)
	marked := make([]byte, 0, len(open)+len(offset)+5)
	if some {
		marked = append(append(marked, open...), ',')
	} else {
		marked = append(marked, '[')
	}
	return append(append(append(marked, '"'), offset...), '"', ']')
}

// deliverInTurn delivers an event that carries an offset. One such event after the other is queued
// in a namespace, so that all its sockets get them in the order of the journal; flushing, which
// costs more, is done when the next may already have its turn.
func (h *Hub) deliverInTurn(e *sio.Emit) (sockets int) {
	n := h.namespace(e.Target.Namespace)
	if n == nil {
		return 0
	}
	d := newDelivery(e)
	d.Unflushed = true
	n.turn.Lock()
	one, all := n.record(h, e, d)
	h.noteEmit(e, one, all)
	if one != nil || len(all) > 0 {
		sockets = h.deliver(d, one, all)
	}
	n.turn.Unlock()
	switch {
	case one != nil:
		flush(one)
	case h.isWide(all):
		h.share(all, flush)
	default:
		for _, s := range all {
			flush(s)
		}
	}
	return sockets
}

func flush(s Socket) {
	if f, ok := s.(Flusher); ok {
		f.Flush()
	}
}

// record takes the snapshot of the target's sockets, and with it the event's place in the journal:
// who joins later joins behind it.
func (n *namespace) record(h *Hub, e *sio.Emit, d *Delivery) (one Socket, all []Socket) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	sequence := h.sequence.Add(1)
	d.Offset = h.offset(sequence)
	one, all = n.receiversLocked(&e.Target, func(m *member) {
		if m.trace != nil && !e.Volatile {
			m.trace.last = sequence // no other writes: the caller has the turn
		}
	})
	if !e.Volatile && (one != nil || all != nil || n.absent > 0) {
		n.journal.add(newEntry(sequence, e))
	}
	return one, all
}
