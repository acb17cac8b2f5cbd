// SPDX-License-Identifier: Apache-2.0

package dispatch

// backlog counts what waits: for a service, or for one instance of it.
type backlog struct {
	sockets int // whose next dispatch waits
	events  int // dispatches that wait
	blocked int // sockets that are not read, since their queue is full
}

func (b *backlog) add(x backlog) {
	b.sockets += x.sockets
	b.events += x.events
	b.blocked += x.blocked
}

func (b *backlog) sub(x backlog) { b.add(backlog{-x.sockets, -x.events, -x.blocked}) }

// countLocked changes the counts of the lane's service and of its instance.
func (l *lane) countLocked(change backlog) {
	l.service.backlog.add(change)
	if l.at != nil {
		l.at.backlog.add(change)
	}
}

// backlogLocked is the lane's own.
func (l *lane) backlogLocked() (b backlog) {
	if l.queue.len > 0 {
		b.sockets, b.events = 1, l.queue.len
	}
	if l.wait != nil {
		b.blocked = 1
	}
	return b
}
