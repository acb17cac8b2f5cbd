// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const limit = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a process prints is kept, also when it ends at once.
func TestProcess_OK(t *testing.T) {
	p, err := Start("sh", "", []string{"GREETING=hello"}, "sh", "-c", "echo $GREETING; echo again >&2")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitFor("again", limit); err != nil {
		t.Fatal(err)
	}
	if !p.Wait(limit) || p.Err() != nil || p.Log() != "hello\nagain\n" {
		t.Errorf("%v, %q", p.Err(), p.Log())
	}
	if err := p.WaitFor("never", limit); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("waiting for what never comes: %v", err)
	}
}

// A process is ended by a signal to itself, and one that does not obey is killed.
func TestProcess_Stop(t *testing.T) {
	p, err := Start("sleep", "", nil, "sleep", "100")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resident(p.PID()); err != nil {
		t.Error(err)
	}
	if !p.Stop(limit) {
		t.Error("it had to be killed")
	}
	stubborn, err := Start("sh", "", nil, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	if err := stubborn.WaitFor("ready", limit); err != nil {
		t.Fatal(err)
	}
	if stubborn.Stop(300 * time.Millisecond) {
		t.Error("it ended by itself")
	}
}

// A program that is not there, or that does not listen, is an error that says so.
func TestProcess_Err(t *testing.T) {
	if _, err := Start("nothing", "", nil, "/does/not/exist"); err == nil {
		t.Error("no error")
	}
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start("true", "", nil, "true")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitListening(address, limit); err == nil {
		t.Error("nobody listens there")
	}
}

// No address is given twice, though nobody listens at those that were given.
func TestFreeAddress(t *testing.T) {
	given := make(map[string]bool)
	for range 600 { // by chance alone two would be the same, but once in a few thousand times
		address, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Fatalf("%s was given twice", address)
		}
		given[address] = true
	}
}

// The own processor time grows.
func TestCPU(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if now, err := CPU(os.Getpid()); err != nil || now > before {
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("it does not grow")
}

// Samples are summed over labels, names are matched whole.
func TestSum(t *testing.T) {
	text := "# HELP a x\na 1\na_total{reason=\"x\",t=\"p\"} 2\na_total{reason=\"y z\",t=\"p\"} 3e2\nab 7\n"
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{{"a", nil, 1}, {"a_total", nil, 302}, {"a_total", []string{`reason="y z"`}, 300}, {"a_total", []string{`t="q"`}, 0}, {"missing", nil, 0}} {
		if got, err := Sum(text, c.name, c.labels...); err != nil || got != c.want {
			t.Errorf("%s%v is %v, %v, not %v", c.name, c.labels, got, err, c.want)
		}
	}
}

// A line carries both ways; held, it lets nothing pass until it is released; cut, it ends what is
// open and carries what comes.
func TestLine(t *testing.T) {
	l, err := Listen(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Address())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	say := func(c net.Conn, text string) {
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(c net.Conn, want string, within time.Duration) error {
		got := make([]byte, len(want))
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, got)
		if err == nil && string(got) != want {
			t.Fatalf("heard %q, not %q", got, want)
		}
		return err
	}
	first := dial()
	defer first.Close()
	say(first, "one")
	if err := hear(first, "one", limit); err != nil {
		t.Fatal(err)
	}
	l.Hold()
	second := dial()
	defer second.Close()
	say(first, "two")
	say(second, "two")
	for _, c := range []net.Conn{first, second} {
		if err := hear(c, "two", 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("heard through a held line: %v", err)
		}
	}
	l.Release()
	for _, c := range []net.Conn{first, second} {
		if err := hear(c, "two", limit); err != nil {
			t.Error(err)
		}
	}
	l.Cut()
	if err := hear(first, "x", limit); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection was not cut: %v", err)
	}
	third := dial()
	defer third.Close()
	say(third, "three")
	if err := hear(third, "three", limit); err != nil {
		t.Error(err)
	}
	l.Hold() // closing ends what is held
	say(third, "four")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// echo listens and says what it hears, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { // ends with the connection, which the line ends
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}
