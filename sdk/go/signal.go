// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// RunUntilSignal is Run for a program of its own. SIGTERM, an interrupt, or the named signals drain
// the service as the end of ctx does: it accepts nothing new, open handlers finish within
// Options.DrainTimeout, and their results are sent. A second signal has its default effect and ends
// the program at once; the brokers then dispatch its open events again.
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

// endBy sends the signal to this process with its default effect.
func endBy(s os.Signal) {
	signal.Reset(s)
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(s) != nil {
		os.Exit(1) // where a process cannot send signals
	}
}
