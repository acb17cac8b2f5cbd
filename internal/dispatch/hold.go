// SPDX-License-Identifier: Apache-2.0

package dispatch

import "time"

// admit lets the socket into its namespace, and asks its services about it or waits for them. One whose namespace no service ever
// registered is refused at once, unless nothing was ever registered: then the services are likely to be starting too.
func (d *Dispatcher) admit(b *Binding) {
	for {
		if refusal := b.enter(); refusal != 0 {
			b.decide(Decision{Kind: refusal})
			return
		}
		if r := b.routes(); !r.away() {
			b.ask(r)
			return
		}
		if d.hold(b) {
			return
		}
	}
}

// hold lets a connect wait whose namespace has no instance at all. It returns false if it has one by now.
func (d *Dispatcher) hold(b *Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case b.isClosed():
	case b.place.Load() == nil && !d.routes.Load().empty(), !b.routes().away():
		return false
	default:
		d.held[b] = time.AfterFunc(d.options.ConnectHold, func() { d.giveUp(b) })
		d.metrics.Held.Inc()
	}
	return true
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
		if t.there(b.socket.Namespace()) {
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
	if t := d.routes.Load(); !t.empty() && !t.known(b.socket.Namespace()) {
		kind = UnknownNamespace
	}
	b.decide(Decision{Kind: kind})
}
