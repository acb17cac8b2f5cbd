// SPDX-License-Identifier: Apache-2.0

// Package process starts, watches and ends the programs that the suites and the benchmarks measure:
// brokers, handlers, reference servers. It is used by programs under test/ and bench/, and by tests
// of the Go SDK, only. Each process is ended by its own id, what it prints is kept in memory
// (bounded) so that a failure can show it, and every wait has an end.
package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxLog bounds the output kept of one process. The beginning is kept up to half of it, then the
// end.
const maxLog = 1 << 20

// Process is one running program.
type Process struct {
	// Fixed at birth.
	Name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read

	mu      sync.Mutex // guards all below
	log     strings.Builder
	dropped int
	news    chan struct{} // closed and replaced with each line
	err     error
}

// Start starts a program. The environment is the own one plus env.
func Start(name, dir string, env []string, command ...string) (*Process, error) {
	p := &Process{Name: name, done: make(chan struct{}), news: make(chan struct{})}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	// When the suite dies, so does what it started.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", name, err), r.Close(), w.Close())
	}
	_ = w.Close() // the process has its own
	go p.watch(r) // ends when the process and all that share its output have ended
	return p, nil
}

func (p *Process) watch(r io.ReadCloser) {
	ended := make(chan struct{})
	go func() { // ends with the process
		err := p.cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(ended)
	}()
	lines := make(chan struct{})
	go func() { // ends when nobody can write any more, or when the pipe is closed below
		defer close(lines)
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			p.append(line)
			if err != nil {
				return
			}
		}
	}()
	<-ended
	select {
	case <-lines:
	case <-time.After(time.Second): // a grandchild still holds the output
	}
	_ = r.Close()
	<-lines
	close(p.done)
}

func (p *Process) append(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log.Len()+len(line) > maxLog {
		p.dropped += len(line)
	} else {
		p.log.WriteString(line)
	}
	close(p.news)
	p.news = make(chan struct{})
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log gives what the process printed so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dropped > 0 {
		return fmt.Sprintf("%s\n... and %d bytes more\n", p.log.String(), p.dropped)
	}
	return p.log.String()
}

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err gives how the process ended.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// WaitFor waits until the process has printed text.
func (p *Process) WaitFor(text string, limit time.Duration) error {
	deadline := time.After(limit)
	for {
		p.mu.Lock()
		found, news := strings.Contains(p.log.String(), text), p.news
		p.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-news:
		case <-p.done: // its output is read to the end
			if strings.Contains(p.Log(), text) {
				return nil
			}
			return fmt.Errorf("%s ended (%v) without printing %q:\n%s", p.Name, p.Err(), text, p.Log())
		case <-deadline:
			return fmt.Errorf("%s did not print %q within %v:\n%s", p.Name, text, limit, p.Log())
		}
	}
}

// Signal sends a signal to the process, and to nothing else.
func (p *Process) Signal(s syscall.Signal) error {
	if p.Ended() {
		return nil
	}
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end, ends it after the limit, and tells whether it ended by itself.
func (p *Process) Stop(limit time.Duration) bool {
	_ = p.Signal(syscall.SIGTERM)
	if p.Wait(limit) {
		return true
	}
	p.Kill()
	return false
}

// Wait waits for the end and tells whether it came.
func (p *Process) Wait(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		return false
	}
}

// reserved holds what keeps the ports of FreeAddress from others, until this program ends.
var reserved struct {
	mu   sync.Mutex // guards all below
	held []net.Listener
}

// FreeAddress finds a loopback address that nobody listens at, below the ports that the system
// gives to outgoing connections: one of those could take it before it is used. It gives no address
// twice, and none that another program that runs tests was given: a socket of an abstract name,
// which ends with this program, holds the port's number.
func FreeAddress() (address string, err error) {
	const first, count, tries = 10_000, 22_000, 100
	for range tries {
		port := first + rand.IntN(count)
		var held, l net.Listener
		if held, err = net.Listen("unix", fmt.Sprintf("@spanwire-test-port-%d", port)); err != nil {
			continue
		}
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			_ = held.Close()
			continue
		}
		reserved.mu.Lock()
		reserved.held = append(reserved.held, held)
		reserved.mu.Unlock()
		return l.Addr().String(), l.Close()
	}
	return "", err
}

// WaitListening waits until something accepts at the address while the process lives.
func (p *Process) WaitListening(address string, limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return c.Close()
		}
		if p.Ended() {
			return fmt.Errorf("%s ended (%v) before it listened at %s:\n%s", p.Name, p.Err(), address, p.Log())
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not listen at %s after %v:\n%s", p.Name, address, limit, p.Log())
		}
	}
}
