// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// cutOff is how long a partition lasts: longer than the broker's keepalive on a stream (10 s and 5
// s) and its stall-timeout of 5 s together.
func cutOff() time.Duration {
	if testing.Short() {
		return 3 * time.Second
	}
	return 21 * time.Second
}

// One of two instances is cut off from the broker: no packet passes either way, and no side
// notices. Its events go to the other. When the network is whole again it attaches again.
func TestPartition(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		n := newNetwork(t)
		w := newWorldOn(t, p, n.host(), "--stall-timeout", "5s")
		w.start(work)
		far := n.start(w, work)
		w.serving(2)
		l := w.emit(200, 600)
		l.acked(1000)
		n.cut()
		w.await(w.back, 1, "spanwire_bridge_streams_total", `outcome="stalled"`)
		w.serving(1)
		l.acked(1000)
		time.Sleep(cutOff())
		n.heal()
		w.await(w.back, 3, "spanwire_bridge_streams_total", `outcome="attached"`)
		w.serving(2)
		come := w.emit(50, 200)
		come.acked(200)
		l.settle()
		come.settle()
		if b := w.audit(); b.redelivered == 0 {
			t.Error("the instance had nothing open when it was cut off")
		}
		if !slices.ContainsFunc(w.entries(far), func(e entry) bool { return e.client >= 200 }) {
			t.Error("the instance was given nothing after it came back")
		}
	}, "go")
}

// network is what a partition happens to.
type network interface {
	// host is where brokers must let services in.
	host() string
	// start starts an instance on the other side.
	start(w *world, env ...string) *instance
	cut()
	heal()
}

// newNetwork makes a network that can be cut: with namespaces of the kernel, which root may make.
// Without them the bytes are held by a line on the way, which is the next best thing, but it is no
// partition; so where all tests have to hold, that is a failure.
func newNetwork(t *testing.T) network {
	t.Helper()
	n, err := newNamespace(t)
	if err == nil {
		return n
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("no network namespace can be made, which needs root and the program ip (package iproute2): %v", err)
	}
	t.Logf("no network namespace can be made (%v): connections are held on their way instead", err)
	return &held{}
}

// namespace is a network of its own, with one cable to a bridge of this one. Pulling that at the
// bridge's end leaves both ends up, so that no side notices.
type namespace struct {
	t                         *testing.T
	name, bridge, cable, plug string
	address                   string // of the bridge
}

func newNamespace(t *testing.T) (*namespace, error) {
	t.Helper()
	subnet, err := freeSubnet()
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("%x%s", os.Getpid(), subnet[strings.LastIndexByte(subnet, '.')+1:])
	n := &namespace{
		t: t, name: "sw" + id, bridge: "swb" + id, cable: "swc" + id, plug: "swp" + id, address: subnet + ".1",
	}
	t.Cleanup(func() { // whatever of it there is
		_ = ip("netns", "del", n.name)
		_ = ip("link", "del", n.cable)
		_ = ip("link", "del", n.bridge)
	})
	for _, command := range [][]string{
		{"netns", "add", n.name},
		{"link", "add", n.bridge, "type", "bridge"},
		{"address", "add", n.address + "/24", "dev", n.bridge},
		{"link", "set", n.bridge, "up"},
		{"link", "add", n.cable, "type", "veth", "peer", "name", n.plug},
		{"link", "set", n.plug, "netns", n.name},
		{"link", "set", n.cable, "master", n.bridge},
		{"link", "set", n.cable, "up"},
		{"-n", n.name, "address", "add", subnet + ".2/24", "dev", n.plug},
		{"-n", n.name, "link", "set", n.plug, "up"},
		{"netns", "exec", n.name, "true"},
	} {
		if err := ip(command...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// subnets counts those that were tried.
var subnets atomic.Int32

// freeSubnet finds one in the range that is set aside for tests of networks.
func freeSubnet() (string, error) {
	taken, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
search:
	for range 256 {
		subnet := fmt.Sprintf("198.18.%d", (os.Getpid()+int(subnets.Add(1)))%256)
		for _, a := range taken {
			if strings.HasPrefix(a.String(), subnet+".") {
				continue search
			}
		}
		return subnet, nil
	}
	return "", errors.New("no subnet of 198.18.0.0/16 is free")
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (*namespace) host() string { return "0.0.0.0" }

func (n *namespace) start(w *world, env ...string) *instance {
	w.t.Helper()
	_, port, err := net.SplitHostPort(w.back.Services)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.startIn([]string{"ip", "netns", "exec", n.name}, append(env, "SPANWIRE_ADDRESS="+net.JoinHostPort(n.address, port))...)
}

func (n *namespace) cut() {
	n.t.Helper()
	if err := ip("link", "set", n.cable, "nomaster"); err != nil {
		n.t.Fatal(err)
	}
}

func (n *namespace) heal() {
	n.t.Helper()
	if err := ip("link", "set", n.cable, "master", n.bridge); err != nil {
		n.t.Fatal(err)
	}
}

// held is a line in place of a network.
type held struct{ line *process.Line }

func (*held) host() string { return "127.0.0.1" }

func (h *held) start(w *world, env ...string) *instance {
	w.t.Helper()
	var err error
	if h.line, err = process.Listen(w.back.Services); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = h.line.Close() })
	return w.start(append(env, "SPANWIRE_ADDRESS="+h.line.Address())...)
}

func (h *held) cut()  { h.line.Hold() }
func (h *held) heal() { h.line.Release() }
