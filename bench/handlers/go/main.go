// SPDX-License-Identifier: Apache-2.0

// Command go is the service behind the broker that the benchmark measures, in Go: one event that is
// echoed, one that is broadcast, one that hangs.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// payload is what the events carry. It is decoded and encoded, since handlers do that.
type payload struct {
	Data   string `json:"data"`
	Number int    `json:"number"`
}

func main() {
	one := flag.Bool("one-replica", false, "attach to the given address only, so that events of other replicas' browsers cross the backplane")
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	svc := spanwire.NewService("bench", spanwire.Options{OneReplica: *one})
	spanwire.On(svc, "echo", func(_ context.Context, _ *spanwire.Event, p payload) (payload, error) {
		return p, nil
	})
	svc.On("hang", func(ctx context.Context, _ *spanwire.Event) error {
		<-ctx.Done()
		return ctx.Err()
	})
	spanwire.On(svc, "broadcast", func(_ context.Context, _ *spanwire.Event, p json.RawMessage) (spanwire.None, error) {
		return spanwire.None{}, svc.Emit("news", p)
	})
	go func() { // ends with ctx
		if svc.Attached(ctx) == nil {
			fmt.Println("attached")
		}
	}()
	if err := svc.RunUntilSignal(ctx); err != nil {
		log.Print(err)
	}
}
