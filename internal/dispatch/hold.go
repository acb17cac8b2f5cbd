// SPDX-License-Identifier: Apache-2.0

package dispatch

import "time"

// held is a connect whose namespace has no instance at all.
type held struct {
	timer    *time.Timer
	services []*service // that the namespace waits for; none when it is not known
}

// admit lets the socket into its namespace, and asks its services about it or waits for them. One
// whose namespace no service ever registered is refused at once, unless nothing was ever
// registered: then the services are likely to be starting too.
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

// hold lets a connect wait whose namespace has no instance at all. It returns false if that has
// changed by now.
func (d *Dispatcher) hold(b *Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.isClosed() {
		return true
	}
	if !d.waitsLocked(b) {
		return false
	}
	// ended by release
	h := held{timer: time.AfterFunc(d.options.ConnectHold, func() { d.giveUp(b) })}
	if r := b.routes(); r != nil {
		h.services = r.services
	}
	for _, s := range h.services {
		s.absence.hold(b.socket.Namespace())
	}
	d.held[b] = h
	d.metrics.Held.Inc()
	return true
}

// waitsLocked tells whether there is nothing to do for a connect but to wait.
func (d *Dispatcher) waitsLocked(b *Binding) bool {
	r, nothing := b.routes(), d.routes.Load().empty()
	if r == nil || r == nowhere {
		// or else its namespace has become known, or is unknown since its services were forgotten
		return nothing
	}
	return r.away()
}

// release takes the binding out of the held ones, and tells whether it was there.
func (d *Dispatcher) release(b *Binding) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.releaseLocked(b)
}

func (d *Dispatcher) releaseLocked(b *Binding) bool {
	h, known := d.held[b]
	if !known {
		return false
	}
	h.timer.Stop()
	for _, s := range h.services {
		s.absence.release()
	}
	delete(d.held, b)
	d.metrics.Held.Dec()
	return true
}

// releaseKnownLocked takes out those that can be asked about now, and those whose namespace nobody
// registers any more.
func (d *Dispatcher) releaseKnownLocked() (known []*Binding) {
	t := d.routes.Load()
	for b := range d.held {
		gone := b.routes() == nowhere && !t.empty()
		if gone || t.there(b.socket.Namespace()) {
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

// holdConnectLocked bounds the wait of a connect for a service that is away.
func (l *lane) holdConnectLocked() {
	if !l.connecting || l.advised || l.gone || l.timer != nil || l.service.retired {
		return
	}
	l.service.d.metrics.Held.Inc()
	if l.absent = !l.service.there.Load(); l.absent {
		l.service.absence.hold(l.binding.socket.Namespace())
	}
	l.timer = time.AfterFunc(l.service.d.options.ConnectHold, l.connectHeld)
	l.service.yieldLocked()
}

func (l *lane) releaseConnectLocked() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
		l.service.d.metrics.Held.Dec()
		if l.absent {
			l.service.absence.release()
		}
	}
}

func (l *lane) connectHeld() {
	l.service.mu.Lock()
	late := l.timer != nil && l.at == nil && l.connecting
	l.releaseConnectLocked()
	l.service.mu.Unlock()
	if late {
		l.binding.decide(Decision{Kind: Away})
	}
}
