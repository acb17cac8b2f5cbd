// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// DemoBroker stands in for a broker in the examples, so that they run and have output.
type DemoBroker struct {
	// Options lead to it.
	Options Options
	// Sockets is the number of sockets that it reports for each emit.
	Sockets int

	fake *fakeBroker
	stop func()
}

// NewDemoBroker starts one.
func NewDemoBroker() *DemoBroker {
	b := &DemoBroker{Sockets: 2}
	b.fake, b.stop = startFakeBroker("demo")
	b.Options = fakeOptions(b.fake)
	b.fake.answer = func(*spanwirev1.Emit) (*spanwirev1.EmitResponse, error) {
		return &spanwirev1.EmitResponse{Sockets: uint32(b.Sockets)}, nil
	}
	return b
}

// Close stops it.
func (b *DemoBroker) Close() { b.stop() }

// Serve runs the service, dispatches the event to it as often as said, each time after the result
// of the previous one, and stops the service.
func (b *DemoBroker) Serve(svc *Service, namespace, event string, times int) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }() // ends with stop
	s := <-b.fake.streams
	for i := range times {
		s.dispatch(&spanwirev1.Dispatch{
			Id: 1, SocketId: "s1", Namespace: namespace, WantsAck: true, Redeliveries: uint32(i),
			Kind: &spanwirev1.Dispatch_Event{Event: &spanwirev1.Event{Name: event}},
		})
		for m := range s.frames {
			if len(m.GetBatch().GetActions()) > 0 {
				break
			}
		}
	}
	stop()
	for m := range s.frames {
		if m.GetDrain() != nil {
			break
		}
	}
	s.finish <- nil
	return <-ended
}
