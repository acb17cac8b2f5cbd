// SPDX-License-Identifier: Apache-2.0

// Command handler is the service whose instances the fault tests kill, stop and cut off. handler.py
// beside it is the same in Python.
//
// It handles the events EVENT ("number" when empty) of the service SERVICE ("faults") with the
// arguments client, number and padding, and answers with the number. Before it does, it appends a
// line to the file LOG, which a kill cannot take back:
//
//	nanoseconds dispatch socket client number redeliveries
//
// The event "poison" ends the process. WORK is how long each event takes, like 5ms. CONNECTS=no
// asks for no connects. EVERY_REPLICA=1 attaches to every replica, not to one. GONE is a file for
// disconnects, one line "socket reason" each.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	work, err := time.ParseDuration(env("WORK", "0s"))
	if err != nil {
		return err
	}
	book, err := os.OpenFile(os.Getenv("LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = book.Close() }()
	svc := spanwire.NewService(env("SERVICE", "faults"), spanwire.Options{OneReplica: os.Getenv("EVERY_REPLICA") == ""})
	if os.Getenv("CONNECTS") != "no" {
		svc.OnConnect(func(context.Context, *spanwire.Socket) error { return nil })
	}
	svc.On(env("EVENT", "number"), func(_ context.Context, e *spanwire.Event) error {
		var client, number int
		if err := e.Bind(&client, &number); err != nil {
			return err
		}
		time.Sleep(work)
		// One write for each line, so that lines of other goroutines do not come between.
		if _, err := fmt.Fprintf(book, "%d %d %s %d %d %d\n", time.Now().UnixNano(), e.ID, e.Socket.ID(), client, number, e.Redeliveries); err != nil {
			return err
		}
		return e.Ack(number)
	})
	svc.On("poison", func(_ context.Context, e *spanwire.Event) error {
		fmt.Printf("poisoned, redelivered %d times\n", e.Redeliveries)
		os.Exit(3)
		return nil
	})
	if name := os.Getenv("GONE"); name != "" {
		gone, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer func() { _ = gone.Close() }()
		svc.OnDisconnect(func(_ context.Context, s *spanwire.Socket, reason string) {
			if _, err := fmt.Fprintf(gone, "%s %s\n", s.ID(), reason); err != nil {
				log.Print(err)
			}
		})
	}
	go func() { // ends with ctx
		if svc.Attached(ctx) == nil {
			fmt.Println("attached")
		}
	}()
	return svc.Run(ctx)
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
