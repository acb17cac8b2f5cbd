// SPDX-License-Identifier: Apache-2.0

package spanwire_test

import (
	"context"
	"fmt"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// A web application emits to the sockets of a user, and learns how many they were.
func ExampleEmitter() {
	broker := spanwire.NewDemoBroker() // in place of a broker at Options.Address
	defer broker.Close()

	emitter, err := spanwire.NewEmitter(broker.Options)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer emitter.Close()
	count, err := emitter.To("user:7").EmitWithCount(context.Background(), "paid", map[string]int{"order": 17})
	fmt.Println(count.Sockets, "sockets,", "error", err)
	// Output: 2 sockets, error <nil>
}

// One handler serves every namespace that a pattern matches.
func ExampleService_NamespacePattern() {
	broker := spanwire.NewDemoBroker()
	defer broker.Close()

	svc := spanwire.NewService("tenants", broker.Options)
	svc.NamespacePattern(`/tenant-\d+`).On("hello", func(_ context.Context, e *spanwire.Event) error {
		fmt.Println("hello from", e.Socket.Namespace().Name())
		return nil
	})
	err := broker.Serve(svc, "/tenant-7", "hello", 1)
	fmt.Println("error", err)
	// Output:
	// hello from /tenant-7
	// error <nil>
}

// An event that is dispatched again takes effect once.
func ExampleOnce() {
	broker := spanwire.NewDemoBroker()
	defer broker.Close()

	var payments spanwire.Deduplicator
	svc := spanwire.NewService("payments", broker.Options)
	svc.On("pay", func(_ context.Context, e *spanwire.Event) error {
		fmt.Println("charged the card for event", e.ID)
		return e.Ack("paid")
	}, spanwire.Once(&payments))
	err := broker.Serve(svc, "/", "pay", 3)
	fmt.Println("error", err)
	// Output:
	// charged the card for event 1
	// error <nil>
}
