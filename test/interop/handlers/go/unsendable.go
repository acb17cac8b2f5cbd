// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"math"
	"slices"
	"strings"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// unsendable: what cannot be sent. The event "calls" answers with the calls that said nothing of
// it.
func unsendable(n *spanwire.Namespace) {
	circle := map[string]any{}
	circle["self"] = circle
	values := map[string]any{"nan": math.NaN(), "circle": circle, "function": func() {}, "large": strings.Repeat("x", 8<<20)}
	n.On("unsendable calls", func(ctx context.Context, e *spanwire.Event) error {
		silent := []string{}
		note := func(call string, err error) {
			if err == nil {
				silent = append(silent, call)
			}
		}
		for name, v := range values {
			note("emit "+name, e.Socket.Emit("e", v))
			note("broadcast "+name, n.Emit("e", v))
			_, err := e.Socket.EmitWithAck(ctx, "e", v)
			note("emit with ack "+name, err)
			note("message "+name, n.ServerSideEmit("m", v))
			note("data "+name, e.Socket.SetData(ctx, v))
		}
		note("namespace", e.Socket.Namespace().All().Emit("connect"))
		slices.Sort(silent)
		return e.Ack(silent)
	})
	n.On("unsendable answer", func(_ context.Context, e *spanwire.Event) error {
		var name string
		if err := e.Bind(&name); err != nil {
			return err
		}
		_ = e.Ack(values[name]) // as handlers do that do not look
		return nil
	})
	// Nested deeper than the broker takes, which only the broker knows.
	n.On("refused emit", func(_ context.Context, e *spanwire.Event) error {
		v := any(1)
		for range 600 {
			v = []any{v}
		}
		return e.Socket.Emit("too deep", v)
	})
}
