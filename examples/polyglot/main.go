// SPDX-License-Identifier: Apache-2.0

// Command polyglot is the Go half of an example in which two services, in two languages, share one
// namespace: this program handles "my broadcast event", service.py handles "my event". It also
// serves the page; see README.md for how to run both.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/examples/page"
	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// message is the argument of the events that pages send and get.
type message struct {
	Data string `json:"data"`
	Kind string `json:"kind,omitempty"` // shown beside the text
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

// handlers makes the service. Its name differs from the Python half's: instances of one service
// declare the same events.
func handlers() *spanwire.Service {
	svc := spanwire.NewService("poly-go", spanwire.Options{})
	spanwire.On(svc, "my broadcast event", func(_ context.Context, _ *spanwire.Event, m message) (spanwire.None, error) {
		letters := []rune(m.Data)
		slices.Reverse(letters)
		return spanwire.None{}, svc.Emit("my response", message{"go: " + string(letters), "broadcast"})
	})
	return svc
}

// run serves the page and the handlers until ctx ends.
func run(ctx context.Context, address string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{Addr: address, Handler: http.FileServerFS(page.Files), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { // ends with Close
		defer stop()
		ended <- server.ListenAndServe()
	}()
	err := handlers().Run(ctx)
	// The context has ended, and the page has nothing that would take long.
	if closeErr := server.Close(); err == nil {
		err = closeErr
	}
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
