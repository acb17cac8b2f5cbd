// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// only registers what a small service handles, which says what it hears of.
func only(n *spanwire.Namespace) {
	var options []spanwire.HandlerOption
	if os.Getenv("ADVISORY") != "" {
		options = append(options, spanwire.Advisory())
	}
	n.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		fmt.Println("connect", s.ID())
		if os.Getenv("REFUSE") != "" {
			return spanwire.Refuse("as asked for")
		}
		return nil
	}, options...)
	n.OnDisconnect(func(_ context.Context, s *spanwire.Socket, _ string) { fmt.Println("disconnect", s.ID()) })
	n.On("small", func(_ context.Context, e *spanwire.Event) error {
		fmt.Println("event", e.Socket.ID())
		return e.Ack("small")
	})
}
