// SPDX-License-Identifier: Apache-2.0

// Command held is a service for tests whose event "hold" is answered when the process gets the
// signal USR1, and whose event "later" is there between "open" and "close".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

func main() {
	release := make(chan os.Signal, 1)
	signal.Notify(release, syscall.SIGUSR1)
	svc := spanwire.NewService("held", spanwire.Options{})
	svc.On("hold", func(_ context.Context, e *spanwire.Event) error {
		fmt.Println("began")
		<-release
		return e.Ack("finished")
	})
	svc.On("echo", func(_ context.Context, e *spanwire.Event) error { return e.Ack("echoed") })
	svc.On("open", func(ctx context.Context, e *spanwire.Event) error {
		svc.On("later", func(_ context.Context, e *spanwire.Event) error { return e.Ack("later") })
		return svc.Registered(ctx)
	})
	svc.On("close", func(ctx context.Context, _ *spanwire.Event) error {
		svc.Off("later")
		return svc.Registered(ctx)
	})
	go func() { // ends with the program
		if svc.Attached(context.Background()) == nil {
			fmt.Println("attached")
		}
	}()
	fmt.Println("left:", svc.RunUntilSignal(context.Background()))
}
