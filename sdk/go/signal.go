// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// RunUntilSignal is Run for programs: SIGTERM or an interrupt, or the signals that are named
// instead, end it in good order, as the end of ctx does. Every broker is asked for nothing new,
// open handlers finish within Options.DrainTimeout, and what they answer is sent. A second signal
// does what it does to any program, which is to end it at once; the brokers then hand out again
// what was open.
func (svc *Service) RunUntilSignal(ctx context.Context, signals ...os.Signal) error {
	if len(signals) == 0 {
		signals = []os.Signal{syscall.SIGTERM, os.Interrupt}
	}
	came := make(chan os.Signal, 2)
	signal.Notify(came, signals...)
	defer signal.Stop(came)
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { // ends with Run
		select {
		case <-came:
			leave()
		case <-over:
			return
		}
		select {
		case again := <-came:
			endBy(again)
		case <-over:
		}
	})
	err := svc.Run(ctx)
	close(over)
	watch.Wait()
	return err
}

// endBy lets the signal do what it does when nobody listens.
func endBy(s os.Signal) {
	signal.Reset(s)
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(s) != nil {
		os.Exit(1) // where a process cannot send signals
	}
}
