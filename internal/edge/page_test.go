// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/json"
	"maps"
	"slices"
	"testing/synctest"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/edge/socketio"
	"github.com/spanwire/spanwire/internal/sio"
)

// page is what a page keeps of a socket over its connections, as the standard client does.
type page struct {
	w       *world
	ns      sio.Namespace
	options edgetest.Options

	browser   *edgetest.Browser
	sid       sio.SocketID
	pid       string
	offset    string
	recovered bool
	events    []string // names, in their order
	refused   string
}

func (w *world) page(ns sio.Namespace, o edgetest.Options) *page {
	w.t.Helper()
	p := &page{w: w, ns: ns, options: o}
	p.connect(nil)
	return p
}

// connect opens a new session and connects with what the page has.
func (p *page) connect(auth map[string]any) {
	p.w.t.Helper()
	p.browser = p.w.Open(p.options)
	p.ask(auth)
	p.answered()
}

func (p *page) ask(auth map[string]any) {
	payload := map[string]any{}
	if p.pid != "" {
		payload["pid"] = p.pid
		if p.offset != "" {
			payload["offset"] = p.offset
		}
	}
	maps.Copy(payload, auth)
	p.browser.SendConnect(p.ns, payload)
}

// answered reads until the answer to the connect. What comes before it is kept back, as the client
// does.
func (p *page) answered() {
	p.w.t.Helper()
	var before []socketio.Packet
	for {
		packet := p.browser.Packet()
		switch packet.Type {
		case socketio.Connect:
			var answer struct {
				SID sio.SocketID
				PID string
			}
			if err := json.Unmarshal(packet.Payload, &answer); err != nil {
				p.w.t.Fatal(err)
			}
			p.recovered = answer.PID != "" && answer.PID == p.pid
			if !p.recovered && len(before) > 0 {
				p.w.t.Fatalf("%d events before the answer to a new socket", len(before))
			}
			p.sid, p.pid = answer.SID, answer.PID
			for _, e := range before {
				p.take(&e)
			}
			return
		case socketio.ConnectError:
			p.refused = string(packet.Payload)
			return
		default:
			before = append(before, packet)
		}
	}
}

func (p *page) take(packet *socketio.Packet) {
	p.events = append(p.events, packet.Event.Name)
	var args []any
	if len(packet.Event.Args) > 0 && json.Unmarshal(packet.Event.Args, &args) != nil {
		p.w.t.Fatalf("arguments %s", packet.Event.Args)
	}
	args = slices.Insert(args, 0, any(packet.Event.Name))
	if last, text := args[len(args)-1].(string); p.pid != "" && text && !packet.HasID {
		p.offset = last
	}
}

// read takes the next n events.
func (p *page) read(n int) {
	p.w.t.Helper()
	for range n {
		packet := p.browser.Packet()
		p.take(&packet)
	}
}

// cut loses the connection, and waits until the server has noticed.
func (p *page) cut() {
	p.browser.Cut()
	synctest.Wait()
}

func (p *page) expect(recovered bool, events ...string) {
	p.w.t.Helper()
	if p.recovered != recovered || !slices.Equal(p.events, events) {
		p.w.t.Errorf("recovered %v with %q, want %v with %q", p.recovered, p.events, recovered, events)
	}
	p.events = nil
}

func (w *world) outcome(outcome string) float64 {
	return value(w.metrics.Recoveries.With(outcome))
}
