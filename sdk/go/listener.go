// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"slices"
	"sync"
	"sync/atomic"
)

// listeners is a list that is often read and rarely written.
type listeners[F any] struct {
	mu   sync.Mutex // taken for writes
	list atomic.Pointer[[]F]
}

func (l *listeners[F]) add(f F) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := append(slices.Clone(l.all()), f)
	l.list.Store(&list)
}

func (l *listeners[F]) all() []F {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

// OnAny registers a function that is called with every event of this process before its handler. It
// must not block.
//
// Use it for logs and measurements. To handle events of any name, use On with "*".
func (svc *Service) OnAny(listen func(e *Event)) { svc.incoming.add(listen) }

// OnAnyOutgoing registers a function that is called with every event that this process emits,
// before the event is sent. It must not block.
func (svc *Service) OnAnyOutgoing(listen func(t Target, event string, args []any)) {
	svc.outgoing.add(listen)
}

func (svc *Service) observe(t *Target, event string, args []any) {
	for _, listen := range svc.outgoing.all() {
		listen(*t, event, args)
	}
}
