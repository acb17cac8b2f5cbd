// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/test/process"
)

// three is a cluster of three replicas, with services that may leave.
type three struct {
	*world
	nats string
	all  []*process.Broker
}

func newThree(t *testing.T, language string) *three {
	t.Helper()
	c := &three{world: &world{t: t, place: place{language: language}, folder: t.TempDir()}}
	t.Cleanup(c.tell)
	c.nats = c.freeAddress()
	c.front = c.broker("first", "127.0.0.1", "--nats-listen", c.nats, "--connect-hold", "10m")
	c.all = append(c.all, c.front)
	for _, name := range []string{"second", "third"} {
		c.all = append(c.all, c.broker(name, "127.0.0.1", "--nats-url", "nats://"+c.nats, "--connect-hold", "10m"))
	}
	c.back = c.all[1]
	for _, b := range c.all {
		c.await(b, len(c.all)-1, "spanwire_mesh_peers")
	}
	return c
}

// instances waits until each replica knows so many.
func (c *three) known(instances int) {
	c.t.Helper()
	for _, b := range c.all {
		c.await(b, instances, "spanwire_dispatch_instances")
	}
}

// knows tells whether a replica knows the service.
func (c *three) knows(b *process.Broker, service string) bool {
	c.t.Helper()
	text, err := b.Get("/status")
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Contains(text, `"name":"`+service+`"`) || strings.Contains(text, `"name": "`+service+`"`)
}

func (c *three) forgotten(service string) {
	c.t.Helper()
	for _, b := range c.all {
		c.until(b.Name+" to forget the service "+service, func() bool { return !c.knows(b, service) })
	}
}

// join opens a session and asks to join; connected waits for the answer.
func (c *three) join(b *process.Broker) (connected func()) {
	c.t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial("ws://"+b.HTTP+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = response.Body.Close()
	c.t.Cleanup(func() { _ = ws.Close() })
	if err := ws.WriteMessage(websocket.TextMessage, []byte("40")); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		for {
			_ = ws.SetReadDeadline(time.Now().Add(limit))
			_, data, err := ws.ReadMessage()
			switch {
			case err != nil:
				c.t.Fatalf("%s: %v", b.Name, err)
			case strings.HasPrefix(string(data), "40"):
				return
			case string(data) == "2":
				_ = ws.WriteMessage(websocket.TextMessage, []byte("3"))
			}
		}
	}
}

// held asks to join at each replica, and waits until the service holds each connect.
func (c *three) held(service string) (all []func()) {
	c.t.Helper()
	for _, b := range c.all {
		all = append(all, c.join(b))
		c.await(b, 1, "spanwire_dispatch_absent_service_held_connects", `service="`+service+`"`)
	}
	return all
}

// command runs the broker as a command that calls a replica.
func (c *three) command(b *process.Broker, arguments ...string) (output string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, built.broker, append(arguments, "--address", b.Services, "--timeout", "60s")...)
	text, _ := command.CombinedOutput()
	return string(text), command.ProcessState.ExitCode()
}

func (c *three) retire(b *process.Broker, service string) (output string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, built.broker, "services", "retire", "--address", b.Services, "--timeout", "60s", service)
	text, _ := command.CombinedOutput()
	return string(text), command.ProcessState.ExitCode()
}

// A service that is gone holds connects at each replica; one command at any of them retires it in
// the whole cluster.
func TestO01_retire(t *testing.T) {
	t.Parallel()
	c := withoutA(t)
	held := c.held("a")
	last := c.all[2]
	if text, code := c.command(last, "services"); code != 0 || !strings.Contains(text, "absent, holds 3 connects") {
		t.Errorf("services: %d\n%s", code, text)
	}
	if text, code := c.retire(last, "b"); code != 1 || !strings.Contains(text, "1 attached instance") {
		t.Errorf("retire b: %d\n%s", code, text)
	}
	if text, code := c.retire(last, "a"); code != 0 || !strings.Contains(text, "3 connects go on") {
		t.Errorf("retire a: %d\n%s", code, text)
	}
	for i, connected := range held {
		connected()
		b := c.all[i]
		if c.knows(b, "a") || c.metric(b, "spanwire_dispatch_held_connects") != 0 {
			t.Errorf("%s knows a", b.Name)
		}
		c.join(b)()
	}
	if text, code := c.retire(c.front, "a"); code != 1 || !strings.Contains(text, "no replica knows") {
		t.Errorf("retire a twice: %d\n%s", code, text)
	}
	a := c.start("SERVICE=a") // is known again
	c.known(2)
	c.signal(a, syscall.SIGTERM)
	c.known(1)
	c.held("a")
}

// withoutA gives three replicas with the services a and b, of which a is absent.
func withoutA(t *testing.T) *three {
	t.Helper()
	c := newThree(t, "go")
	c.start("SERVICE=b")
	a := c.start("SERVICE=a")
	c.known(2)
	c.signal(a, syscall.SIGTERM)
	c.known(1)
	return c
}

// A replica that starts while a service is absent learns of it from the others, and opens nothing
// that they keep closed.
func TestO01_newReplica(t *testing.T) {
	t.Parallel()
	c := withoutA(t)
	late := c.broker("fourth", "127.0.0.1", "--nats-url", "nats://"+c.nats, "--connect-hold", "10m")
	c.all = append(c.all, late)
	c.known(1)
	c.until("the new replica to know a", func() bool { return c.knows(late, "a") })
	held := c.held("a")
	if text, code := c.command(late, "services"); code != 0 || !strings.Contains(text, "absent, holds 4 connects") {
		t.Errorf("services: %d\n%s", code, text)
	}
	if text, code := c.retire(late, "a"); code != 0 || !strings.Contains(text, "4 connects go on") {
		t.Errorf("retire a: %d\n%s", code, text)
	}
	for _, connected := range held {
		connected()
	}
	c.forgotten("a")
}

// A replica that does not answer is named, and informed when it is back.
func TestO01_retireSilent(t *testing.T) {
	t.Parallel()
	c := withoutA(t)
	held := c.held("a")
	last := c.all[2]
	text, err := last.Get("/status")
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Replica string `json:"replica"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || status.Replica == "" {
		t.Fatalf("%v: %s", err, text)
	}
	if err := last.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	output, code := c.retire(c.front, "a")
	if err := last.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code != 1 || !strings.Contains(output, status.Replica) || !strings.Contains(output, "2 connects go on") {
		t.Errorf("retire: %d\n%s\nthe replica that was stopped is %s", code, output, status.Replica)
	}
	held[0]()
	held[1]()
	c.until("the cluster to be whole", func() bool { return c.metric(c.front, "spanwire_mesh_peers") == 2 })
	c.until("the last replica to forget a", func() bool {
		c.retire(c.front, "a")
		return !c.knows(last, "a")
	})
	held[2]()
}

// A service whose last instance drains and says so is forgotten by all replicas, those that it was
// attached to and those that reached it over the backplane.
func TestO01_drain(t *testing.T) {
	for _, language := range []string{"go", "python"} {
		for _, everywhere := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, attached everywhere %v", language, everywhere), func(t *testing.T) {
				t.Parallel()
				c := newThree(t, language)
				c.start("SERVICE=b")
				where := c.back.Services
				if everywhere {
					where = c.all[0].Services + "," + c.all[1].Services + "," + c.all[2].Services
				}
				leaves := []string{"SERVICE=a", "SPANWIRE_RETIRE=true", "SPANWIRE_ADDRESS=" + where}
				one, two := c.start(leaves...), c.start(leaves...)
				c.known(3)
				c.signal(one, syscall.SIGTERM)
				c.known(2)
				for _, b := range c.all {
					if !c.knows(b, "a") {
						t.Errorf("%s forgot a, which has an instance", b.Name)
					}
					c.join(b)()
				}
				c.signal(two, syscall.SIGTERM)
				c.forgotten("a")
				for _, b := range c.all {
					c.join(b)()
				}
			})
		}
	}
}
