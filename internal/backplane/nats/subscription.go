// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"sync"

	client "github.com/nats-io/nats.go"

	"github.com/spanwire/spanwire/internal/sio"
)

// subscription is the one consumer of a replica. Both subjects feed one channel, so the order in
// which a publisher used the two is kept.
type subscription struct {
	conn  *client.Conn
	subs  []*client.Subscription
	queue chan *client.Msg // when it is full, the client drops and reports a slow consumer
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

// Subscribe implements backplane.Backplane. When NATS can be reached, the subscription is in force
// on return.
func (b *Backplane) Subscribe(self sio.ReplicaID, receive func(data []byte)) (stop func(), err error) {
	s := &subscription{
		conn: b.conn, queue: make(chan *client.Msg, b.options.Pending), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, subject := range []string{b.subject(""), b.subject(self)} {
		sub, err := b.conn.ChanSubscribe(subject, s.queue)
		if err != nil {
			s.unsubscribe()
			return nil, &sio.Error{Code: sio.CodeUnavailable, Op: "subscribe", Message: "NATS refused the subscription", Cause: err}
		}
		s.subs = append(s.subs, sub)
	}
	if b.conn.IsConnected() {
		if err := b.conn.FlushTimeout(flushTimeout); err != nil {
			b.log.Warn("NATS subscription not confirmed yet", "err", err)
		}
	}
	b.mu.Lock()
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	go s.run(receive) // ended by stop, which waits
	return s.stop, nil
}

func (s *subscription) run(receive func([]byte)) {
	defer close(s.ended)
	for {
		select {
		case <-s.quit:
			return
		case m := <-s.queue:
			receive(m.Data)
		}
	}
}

func (s *subscription) stop() {
	s.once.Do(func() {
		s.unsubscribe()
		close(s.quit)
	})
	<-s.ended
}

func (s *subscription) unsubscribe() {
	for _, sub := range s.subs {
		sub.Unsubscribe() //nolint:errcheck // fails only when the connection is closed, which ends it too
	}
}
