// SPDX-License-Identifier: Apache-2.0

// Command go_chat is the smallest chat: one form that echoes to its sender and one that reaches
// everybody, with handlers in Go.
//
//	broker dev -- go run ./examples/go_chat
//
// starts the broker and this program; open http://localhost:5000 in two browsers. Without "dev",
// run the broker with "--upstream http://127.0.0.1:8000" beside this program, so that the page and
// the sockets share an origin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/examples/page"
	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// message is the argument of all events here.
type message struct {
	Data string `json:"data"`
}

func main() {
	address := flag.String("listen", "127.0.0.1:8000", "where the page is served when SPANWIRE_APP_ADDRESS is not set")
	flag.Parse()
	if a := os.Getenv("SPANWIRE_APP_ADDRESS"); a != "" {
		*address = a // "broker dev" sends browsers there
	} else {
		log.Printf("the page is at http://%s, for the broker's --upstream", *address)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal does not wait for open handlers
	if err := run(ctx, *address); err != nil {
		log.Fatal(err)
	}
}

// handlers makes the service.
func handlers() *spanwire.Service {
	svc := spanwire.NewService("chat", spanwire.Options{})
	svc.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		return s.Emit("my response", message{"Connected"})
	})
	svc.On("my event", func(_ context.Context, e *spanwire.Event) error {
		var m message
		if err := e.Bind(&m); err != nil {
			return err
		}
		return e.Socket.Emit("my response", m)
	})
	// The same with the argument decoded already.
	spanwire.On(svc, "my broadcast event", func(_ context.Context, _ *spanwire.Event, m message) (spanwire.None, error) {
		return spanwire.None{}, svc.Emit("my response", m)
	})
	svc.OnDisconnect(func(context.Context, *spanwire.Socket, string) {
		fmt.Println("Client disconnected")
	})
	return svc
}

// run serves the page and the handlers until ctx ends.
func run(ctx context.Context, address string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{Addr: address, Handler: http.FileServerFS(page.Files), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { // ends with Shutdown
		defer stop()
		served <- server.ListenAndServe()
	}()
	err := handlers().Run(ctx)
	// The context has ended, and the page has nothing that would take long.
	if closeErr := server.Close(); err == nil {
		err = closeErr
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
