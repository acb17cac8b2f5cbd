// SPDX-License-Identifier: Apache-2.0

// Command polyglot is the Go half of an example in which two services, in two languages, share one
// namespace: "reverse" is handled here, "upper" by service.py. It also serves the page; see
// README.md for how to run both.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

//go:embed index.html
var page embed.FS

// served tells the page who did the work.
type served struct {
	By string `json:"by"`
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
	spanwire.On(svc.Namespace("/poly"), "reverse", func(_ context.Context, e *spanwire.Event, text string) (string, error) {
		letters := []rune(text)
		slices.Reverse(letters)
		return string(letters), e.Socket.Emit("served", served{By: "go"})
	})
	return svc
}

// run serves the page and the handlers until ctx ends.
func run(ctx context.Context, address string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{Addr: address, Handler: http.FileServerFS(page), ReadHeaderTimeout: 10 * time.Second}
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
