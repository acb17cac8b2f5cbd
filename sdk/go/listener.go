// SPDX-License-Identifier: Apache-2.0

package spanwire

// OnAny calls the function with every event that is handed to this process, before its handler. It must not block. It is for logs and
// measurements; to handle events of any name, use On with "*".
func (svc *Service) OnAny(listen func(e *Event)) { svc.incoming = append(svc.incoming, listen) }

// OnAnyOutgoing calls the function with every event that this process emits, before it is sent. It must not block.
func (svc *Service) OnAnyOutgoing(listen func(t Target, event string, args []any)) {
	svc.outgoing = append(svc.outgoing, listen)
}

func (svc *Service) emits(t *Target, event string, args []any) {
	for _, listen := range svc.outgoing {
		listen(*t, event, args)
	}
}
