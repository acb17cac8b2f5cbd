// SPDX-License-Identifier: Apache-2.0

package dispatch

import "time"

// hold lets a connect wait whose namespace has no instance at all. One whose namespace no service ever registered is refused at once,
// unless nothing was ever registered: then the services are likely to be starting too.
func (d *Dispatcher) hold(b *Binding) {
	d.mu.Lock()
	t := d.routes.Load()
	r := t.namespace(b.socket.Namespace())
	unknown := r == nil && len(t.namespaces) > 0
	there := r != nil && !r.away()
	if !unknown && !there {
		d.held[b] = time.AfterFunc(d.options.ConnectHold, func() { d.giveUp(b) })
		d.metrics.Held.Inc()
	}
	d.mu.Unlock()
	switch {
	case unknown:
		b.decide(Decision{Kind: UnknownNamespace})
	case there:
		b.ask(r)
	}
}

// release takes the binding out of the held ones, and tells whether it was there.
func (d *Dispatcher) release(b *Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.releaseLocked(b)
}

func (d *Dispatcher) releaseLocked(b *Binding) bool {
	timer := d.held[b]
	if timer == nil {
		return false
	}
	timer.Stop()
	delete(d.held, b)
	d.metrics.Held.Dec()
	return true
}

// releaseKnownLocked takes out those that can be asked about now.
func (d *Dispatcher) releaseKnownLocked() (known []*Binding) {
	t := d.routes.Load()
	for b := range d.held {
		if r := t.namespace(b.socket.Namespace()); r != nil && !r.away() {
			d.releaseLocked(b)
			known = append(known, b)
		}
	}
	return known
}

func (d *Dispatcher) giveUp(b *Binding) {
	if !d.release(b) {
		return
	}
	kind := Away
	if t := d.routes.Load(); t.namespace(b.socket.Namespace()) == nil && len(t.namespaces) > 0 {
		kind = UnknownNamespace
	}
	b.decide(Decision{Kind: kind})
}
