// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

const (
	attachLimit = 30 * time.Second
	stopLimit   = 20 * time.Second
	tiedLimit   = 30 * time.Second
)

// clusters are those that were asked for and not ended.
type clusters struct {
	folder string

	mu   sync.Mutex // guards all below
	next int
	all  map[string]*cluster
}

// cluster is some replicas with handlers. Requests for one cluster come one at a time.
type cluster struct {
	id       string
	folder   string
	mu       sync.Mutex // guards all below
	replicas []*process.Broker
	others   map[string]*process.Process // handlers and applications by name
	lines    []*process.Line
	balanced []io.Closer
}

func (cs *clusters) add() *cluster {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.next++
	c := &cluster{id: fmt.Sprint(cs.next), folder: cs.folder, others: make(map[string]*process.Process)}
	if cs.all == nil {
		cs.all = make(map[string]*cluster)
	}
	cs.all[c.id] = c
	return c
}

func (cs *clusters) get(id string) *cluster {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.all[id]
}

// stop ends a cluster and keeps its logs.
func (cs *clusters) stop(id string) {
	cs.mu.Lock()
	c := cs.all[id]
	delete(cs.all, id)
	cs.mu.Unlock()
	if c != nil {
		c.stop()
	}
}

func (cs *clusters) stopAll() {
	for {
		cs.mu.Lock()
		var id string
		for id = range cs.all {
			break
		}
		cs.mu.Unlock()
		if id == "" {
			return
		}
		cs.stop(id)
	}
}

// start starts the replicas. The first embeds the NATS server that the others use.
func (c *cluster) start(binary string, replicas int, flags []string) ([]replica, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var described []replica
	nats := ""
	for i := range replicas {
		own := flags
		switch {
		case replicas > 1 && i == 0:
			var err error
			if nats, err = process.FreeAddress(); err != nil {
				return nil, err
			}
			own = append([]string{"--nats-listen", nats}, flags...)
		case i > 0:
			own = append([]string{"--nats-url", "nats://" + nats}, flags...)
		}
		b, err := process.StartBroker(binary, fmt.Sprintf("replica-%d", i), append([]string{"--log-level", "debug"}, own...)...)
		if err != nil {
			return nil, err
		}
		c.replicas = append(c.replicas, b)
		described = append(described, describe(b))
	}
	return described, c.tied()
}

// tied waits until every replica knows all of them.
func (c *cluster) tied() error {
	if len(c.replicas) < 2 {
		return nil
	}
	deadline := time.Now().Add(tiedLimit)
	for _, b := range c.replicas {
		for {
			n, err := b.Metric("spanwire_mesh_peers")
			if err == nil && int(n) >= len(c.replicas)-1 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s knows %v replicas (%v), not %d", b.Name, n, err, len(c.replicas))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// handler starts a handler at a replica and waits until it is attached.
func (c *cluster) handler(command, env []string, replica int) (string, error) {
	name := fmt.Sprintf("handler-%d", len(c.others))
	p, err := process.Start(name, "", append(env, "SPANWIRE_ADDRESS="+c.replicas[replica].Services), command...)
	if err != nil {
		return "", err
	}
	c.others[name] = p
	return name, p.WaitFor("attached\n", attachLimit)
}

// application starts a replica together with the web application behind it, as `broker dev` does.
func (c *cluster) application(binary, folder string, env, flags, command []string) (*process.Broker, error) {
	b := &process.Broker{}
	for _, a := range []*string{&b.HTTP, &b.Services, &b.Operators} {
		var err error
		if *a, err = process.FreeAddress(); err != nil {
			return nil, err
		}
	}
	args := append([]string{binary, "dev", "--http-address", b.HTTP, "--service-address", b.Services, "--operator-address", b.Operators},
		flags...)
	p, err := process.Start(fmt.Sprintf("dev-%d", len(c.replicas)), folder, env, append(append(args, "--"), command...)...)
	if err != nil {
		return nil, err
	}
	b.Process = p
	c.replicas = append(c.replicas, b)
	return b, p.WaitListening(b.HTTP, attachLimit)
}

// end ends one process by a signal and waits for it. An application that holds on to its output
// does not hold this up.
func (c *cluster) end(name string, signal syscall.Signal) error {
	p := c.process(name)
	if p == nil {
		return fmt.Errorf("no process is named %q", name)
	}
	if err := p.Signal(signal); err != nil {
		return err
	}
	if !p.Wait(stopLimit) {
		p.Kill()
		return fmt.Errorf("%s did not end within %v of signal %v", name, stopLimit, signal)
	}
	return nil
}

func (c *cluster) process(name string) *process.Process {
	for _, b := range c.replicas {
		if b.Name == name {
			return b.Process
		}
	}
	return c.others[name]
}

// stop ends everything and writes the logs. Programs under `broker dev` end when it is asked to
// end, so it is asked, not killed.
func (c *cluster) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lines {
		_ = l.Close()
	}
	for _, b := range c.balanced {
		_ = b.Close()
	}
	for _, p := range c.others {
		p.Kill()
		c.keep(p)
	}
	for _, b := range c.replicas {
		if strings.HasPrefix(b.Name, "dev") {
			b.Stop(stopLimit)
		} else {
			b.Kill()
		}
		c.keep(b.Process)
	}
}

func (c *cluster) keep(p *process.Process) {
	_ = os.WriteFile(filepath.Join(c.folder, fmt.Sprintf("%s-%s.log", c.id, p.Name)), []byte(p.Log()), 0o600)
}
