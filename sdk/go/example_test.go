// SPDX-License-Identifier: Apache-2.0

package spanwire_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// The whole of a program that handles events.
func Example() {
	svc := spanwire.NewService("chat", spanwire.Options{})
	svc.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		return s.Emit("my response", map[string]string{"data": "Connected"})
	})
	svc.On("my event", func(_ context.Context, e *spanwire.Event) error {
		var data map[string]any
		if err := e.Bind(&data); err != nil {
			return err
		}
		return e.Socket.Emit("my response", data)
	})
	if err := svc.RunUntilSignal(context.Background()); err != nil {
		log.Print(err)
	}
}

// A typed handler decodes the first argument and acks with what it returns.
func ExampleOn() {
	svc := spanwire.NewService("tools", spanwire.Options{})
	spanwire.On(svc, "upper", func(_ context.Context, _ *spanwire.Event, text string) (string, error) {
		return strings.ToUpper(text), nil
	})
	spanwire.On(svc, "ping", func(context.Context, *spanwire.Event, spanwire.None) (spanwire.None, error) {
		return spanwire.None{}, nil
	})
}

// A connect handler looks at what the browser sent and refuses it.
func ExampleRefuse() {
	svc := spanwire.NewService("chat", spanwire.Options{})
	svc.OnConnect(func(_ context.Context, s *spanwire.Socket) error {
		var auth struct{ Token string }
		if err := s.Handshake().BindAuth(&auth); err != nil || auth.Token != "open sesame" {
			return spanwire.Refuse("not authorized", map[string]int{"code": 401})
		}
		return s.Join("members")
	})
	fmt.Println(spanwire.Refuse("not authorized"))
	// Output: spanwire: refused: not authorized
}

// A target is a value that can be narrowed step by step.
func ExampleTarget() {
	svc := spanwire.NewService("news", spanwire.Options{})
	members := svc.Namespace("/news").To("members")
	svc.On("publish", func(_ context.Context, e *spanwire.Event) error {
		if err := members.Except("muted").Emit("headline", e.Args()[0]); err != nil {
			return err
		}
		return members.Volatile().Emit("typing", false)
	})
}

// The answers of several sockets, and how many are missing.
func ExampleTarget_EmitWithAck() {
	svc := spanwire.NewService("vote", spanwire.Options{})
	svc.On("call the vote", func(ctx context.Context, e *spanwire.Event) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		acks, err := svc.To("voters").EmitWithAck(ctx, "vote?")
		if err != nil {
			return err
		}
		yes := 0
		for _, ack := range acks.Acks {
			var vote bool
			if ack.Bind(&vote) == nil && vote {
				yes++
			}
		}
		return e.Ack(map[string]int{"yes": yes, "missing": acks.Missing})
	})
}

// Handlers may come and go while the service runs.
func ExampleService_Registered() {
	svc := spanwire.NewService("poll", spanwire.Options{})
	open := func(ctx context.Context, question string) error {
		svc.On(question, func(_ context.Context, e *spanwire.Event) error { return e.Ack("counted") })
		return svc.Registered(ctx) // events come from here on
	}
	spanwire.On(svc, "open", func(ctx context.Context, _ *spanwire.Event, question string) (spanwire.None, error) {
		return spanwire.None{}, open(ctx, question)
	})
	spanwire.On(svc, "close", func(_ context.Context, _ *spanwire.Event, question string) (spanwire.None, error) {
		svc.Off(question)
		return spanwire.None{}, nil
	})
}

// A script emits without being a handler.
func ExampleNewEmitter() {
	emitter, err := spanwire.NewEmitter(spanwire.Options{Address: "127.0.0.1:1", EmitTimeout: 50 * time.Millisecond})
	if err != nil {
		log.Print(err)
		return
	}
	defer emitter.Close()
	err = emitter.To("user:7").Emit("my response", map[string]string{"data": "from a script"})
	fmt.Println(errors.Is(err, spanwire.ErrBrokerUnavailable))
	// Output: true
}
