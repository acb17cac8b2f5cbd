// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

const startLimit = 30 * time.Second

// target is something that can be measured: one server, or the broker with a handler behind it.
type target struct {
	name  string
	title string
	start func() (*running, error)
}

// running is a started target.
type running struct {
	address   string // of Socket.IO
	broker    *process.Broker
	processes []*process.Process // the one that holds the connections first
	brokers   int                // how many of the processes are replicas; the handler follows them
}

func (r *running) stop() {
	for i := len(r.processes) - 1; i >= 0; i-- {
		r.processes[i].Kill()
	}
}

func allTargets(s *settings, repository string, built map[string]string) map[string]*target {
	python := filepath.Join(repository, "bench/handlers/python/handler.py")
	env := "PYTHONPATH=" + filepath.Join(repository, "sdk/python/src")
	list := []*target{
		{name: "go", title: "broker + Go handler", start: func() (*running, error) {
			return startBroker(s, nil, built["go"])
		}},
		{name: "backplane", title: "two replicas, browsers at one, Go handler at the other", start: func() (*running, error) {
			return startCrossing(s, built["go"])
		}},
		{name: "python", title: "broker + Python handler", start: func() (*running, error) {
			return startBroker(s, []string{env}, s.python, python)
		}},
		{name: "node", title: "Node socket.io 4.8", start: func() (*running, error) {
			return startServer("node", "node", filepath.Join(repository, "bench/node/server.js"))
		}},
		{name: "floor", title: "floor (bare gorilla)", start: func() (*running, error) {
			return startServer("floor", built["floor"])
		}},
		{name: "flask", title: "Flask-SocketIO, threads", start: func() (*running, error) {
			return startServer("flask", s.python, filepath.Join(repository, "bench/flask/server.py"))
		}},
	}
	targets := make(map[string]*target, len(list))
	for _, t := range list {
		targets[t.name] = t
	}
	return targets
}

// startBroker starts the broker, then its handler, and waits until that is attached.
func startBroker(s *settings, env []string, handler ...string) (*running, error) {
	b, err := process.StartBroker(s.broker, "broker", append([]string{"--log-level", "warn"}, strings.Fields(s.flags)...)...)
	if err != nil {
		return nil, err
	}
	r := &running{address: b.HTTP, broker: b, processes: []*process.Process{b.Process}, brokers: 1}
	if err := r.startHandler(b, env, handler...); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *running) startHandler(at *process.Broker, env []string, handler ...string) error {
	h, err := process.Start("handler", "", append(env, "SPANWIRE_ADDRESS="+at.Services), handler...)
	if err != nil {
		return err
	}
	r.processes = append(r.processes, h)
	return h.WaitFor("attached", startLimit)
}

// startCrossing starts two replicas and a handler that is attached to the second only, so that
// every event of the browsers, which are at the first, crosses the backplane twice. The second
// embeds the NATS server, whose work is counted with it.
func startCrossing(s *settings, handler string) (*running, error) {
	nats, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	r := &running{}
	start := func(name string, flags ...string) (*process.Broker, error) {
		b, err := process.StartBroker(s.broker, name, append(append([]string{"--log-level", "warn"}, flags...), strings.Fields(s.flags)...)...)
		if err == nil {
			r.processes = append([]*process.Process{b.Process}, r.processes...)
			r.brokers++
		}
		return b, err
	}
	far, err := start("far replica", "--nats-listen", nats)
	if err != nil {
		return nil, err
	}
	if r.broker, err = start("replica", "--nats-url", "nats://"+nats); err != nil {
		r.stop()
		return nil, err
	}
	r.address = r.broker.HTTP
	err = r.startHandler(far, nil, handler, "-one-replica")
	if err == nil {
		err = waitMetric(r.broker, "spanwire_dispatch_instances")
	}
	if err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// waitMetric waits until a metric of the broker is above zero.
func waitMetric(b *process.Broker, name string) error {
	for end := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		n, err := b.Metric(name)
		if err == nil && n > 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s of %s is %v after %v: %w", name, b.Name, n, startLimit, err)
		}
	}
}

// startServer starts a server that gets its address as its last argument: Node only the port.
func startServer(name string, command ...string) (*running, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	argument := address
	if name == "node" {
		argument = address[strings.LastIndexByte(address, ':')+1:]
	}
	p, err := process.Start(name, "", nil, append(command, argument)...)
	if err != nil {
		return nil, err
	}
	if err := p.WaitListening(address, startLimit); err != nil {
		p.Kill()
		return nil, err
	}
	return &running{address: address, processes: []*process.Process{p}}, nil
}
