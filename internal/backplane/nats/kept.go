// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"sync"

	client "github.com/nats-io/nats.go"
)

// link is whether NATS can be reached, and what waits for it. The client library would keep that
// too, but holds its lock while it tries to reach a server, so that publishers wait as long
// as it waits for a server that hangs.
type link struct {
	limit int // bytes

	mu    sync.Mutex // guards all; held while what was kept is sent, so that nothing overtakes it
	up    bool
	queue []kept
	bytes int
	err   error // why it is not up
}

// kept is what waits to be published.
type kept struct {
	subject string
	data    []byte
}

// keep tells whether the link is up; if not, it keeps the data when there is room.
func (l *link) keep(subject string, data []byte) (up, fits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up {
		return true, false
	}
	return false, l.keepLocked(subject, data)
}

// keepAnyway is for what the client did not take, since it noticed first that the link is down.
// That may be over by now: then nobody would come for what is kept.
func (l *link) keepAnyway(conn *client.Conn, subject string, data []byte) (sent, fits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up && conn.IsConnected() {
		return conn.Publish(subject, data) == nil, false
	}
	l.up = false
	return false, l.keepLocked(subject, data)
}

func (l *link) keepLocked(subject string, data []byte) bool {
	if l.bytes+len(data) > l.limit {
		return false
	}
	l.queue = append(l.queue, kept{subject, data})
	l.bytes += len(data)
	return true
}

// raise sends what was kept, and is up from then on. What cannot be sent is missed by its
// receivers, who notice by the numbers.
func (l *link) raise(conn *client.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.queue {
		if conn.Publish(k.subject, k.data) != nil {
			break
		}
	}
	l.up, l.queue, l.bytes, l.err = true, nil, 0, nil
}

func (l *link) lower(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.err = false, err
}

func (l *link) state() (up bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.err
}
