// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"slices"
	"sync"
	"sync/atomic"
)

// listeners is a list that is read by everyone and rarely written.
type listeners[F any] struct {
	mu   sync.Mutex // taken by those who write
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

// OnAny calls the function with every event that is handed to this process, before its handler. It
// must not block. It is for logs and measurements; to handle events of any name, use On with "*".
func (svc *Service) OnAny(listen func(e *Event)) { svc.incoming.add(listen) }

// OnAnyOutgoing calls the function with every event that this process emits, before it is sent. It
// must not block.
func (svc *Service) OnAnyOutgoing(listen func(t Target, event string, args []any)) {
	svc.outgoing.add(listen)
}

func (svc *Service) observe(t *Target, event string, args []any) {
	for _, listen := range svc.outgoing.all() {
		listen(*t, event, args)
	}
}
