// SPDX-License-Identifier: Apache-2.0

package main

import (
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
	r := &running{address: b.HTTP, broker: b, processes: []*process.Process{b.Process}}
	h, err := process.Start("handler", "", append(env, "SPANWIRE_ADDRESS="+b.Services), handler...)
	if err != nil {
		r.stop()
		return nil, err
	}
	r.processes = append(r.processes, h)
	if err := h.WaitFor("attached", startLimit); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// startServer starts a server that is told its address as its last argument: Node only the port.
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
