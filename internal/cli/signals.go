// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals turns SIGINT, SIGTERM and SIGHUP into a graceful end: the first ends ctx, the
// second ends the process at once.
type signals struct {
	ctx  context.Context // the life of the command
	end  context.CancelFunc
	came chan os.Signal
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // guards what follows
	atOnce func()     // done before the process ends at once
	first  syscall.Signal
}

// listen begins to listen. With a parent, the end of the process that started this one counts as a
// first signal.
func listen(parent bool) *signals {
	s := &signals{came: make(chan os.Signal, 2), quit: make(chan struct{}), atOnce: func() {}}
	s.ctx, s.end = context.WithCancel(context.Background())
	signal.Notify(s.came, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.came, syscall.SIGHUP)
	}
	s.done.Go(s.run) // ended by stop
	if parent {
		id := os.Getppid()
		s.done.Go(func() { // ended by stop
			watchParent(id, s.quit)
			s.end()
		})
	}
	return s
}

func (s *signals) run() {
	select {
	case first := <-s.came:
		s.mu.Lock()
		s.first, _ = first.(syscall.Signal)
		s.mu.Unlock()
		s.end()
	case <-s.quit:
		return
	}
	select {
	case second := <-s.came:
		s.mu.Lock() // for good
		s.atOnce()
		number, _ := second.(syscall.Signal)
		os.Exit(signalled + int(number))
	case <-s.quit:
	}
}

// number is that of the first signal; 0 when none came.
func (s *signals) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.first)
}

// before sets what is done before the process ends at once.
func (s *signals) before(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.atOnce = f
}

// stop stops listening; signals have their usual effect then.
func (s *signals) stop() {
	signal.Stop(s.came)
	close(s.quit)
	s.end()
	s.done.Wait()
}
