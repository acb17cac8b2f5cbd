// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	rpc "google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// How the call of an emitter finds a broker. A call may be repeated only if no broker has accepted
// it. The codes of gRPC do not say that: they are "unavailable" for a broker that cannot be
// reached, for one that was lost during the call, and for one that answers so. Each attempt
// therefore records whether the request was sent and whether anything was received.

// peer is one of an emitter's addresses.
type peer struct {
	address string
	conn    *grpc.ClientConn
	client  spanwirev1.EmitterServiceClient
}

// attempt records the progress of a call. callWatch fills it.
type attempt struct{ left, answered atomic.Bool }

type attemptKey struct{}

// callWatch records the progress of calls whose context carries an attempt.
type callWatch struct{}

// TagRPC implements stats.Handler.
func (callWatch) TagRPC(ctx context.Context, _ *rpc.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (callWatch) HandleRPC(ctx context.Context, s rpc.RPCStats) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return
	}
	switch s.(type) {
	case *rpc.OutPayload:
		a.left.Store(true)
	case *rpc.InHeader, *rpc.InTrailer:
		a.answered.Store(true)
	}
}

// TagConn implements stats.Handler.
func (callWatch) TagConn(ctx context.Context, _ *rpc.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (callWatch) HandleConn(context.Context, rpc.ConnStats) {}

// call makes a call until a broker has accepted it, or ctx ends.
func (m *Emitter) call(ctx context.Context, key string, do func(ctx context.Context, p *peer) error) error {
	if len(key) > maxKey {
		return fmt.Errorf("spanwire: the idempotency key has %d bytes; at most %d are allowed", len(key), maxKey)
	}
	var reason string
	for pause := m.options.MinBackoff; ; pause = min(2*pause, m.options.MaxBackoff) {
		first := int(m.first.Load())
		for i := range m.peers {
			at := (first + i) % len(m.peers)
			p := m.peers[at]
			if !m.ready(ctx, p) {
				continue
			}
			var a attempt
			err := do(context.WithValue(ctx, attemptKey{}, &a), p)
			code := status.Code(err)
			switch {
			case err == nil || a.answered.Load() || code != codes.Unavailable && (a.left.Load() || ctx.Err() == nil):
				m.first.Store(uint32(at))
				return explain(ctx, err)
			case a.left.Load() && key == "":
				return fmt.Errorf("%w: %s", ErrBrokerUnavailable, status.Convert(err).Message())
			}
			reason = status.Convert(err).Message()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %s", ErrBrokerUnavailable, cmp.Or(reason, m.advice(), "no connection"))
		}
	}
}

// advice returns the advice about the first address that has one.
func (m *Emitter) advice() string {
	for _, p := range m.peers {
		a := adviser{options: &m.options, address: p.address}
		if advice := a.about(errSlow); advice != "" {
			return advice
		}
	}
	return ""
}

// ready waits until the peer is connected, or cannot be reached. The peers share the time, so that
// one that does not answer leaves time for the others.
func (m *Emitter) ready(ctx context.Context, p *peer) bool {
	if p.conn.GetState() == connectivity.Ready {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.EmitTimeout/time.Duration(len(m.peers)+1))
	defer cancel()
	p.conn.Connect()
	for {
		switch state := p.conn.GetState(); state {
		case connectivity.Ready:
			return true
		case connectivity.TransientFailure, connectivity.Shutdown:
			return false
		default:
			if !p.conn.WaitForStateChange(ctx, state) {
				return false
			}
		}
	}
}

// explain converts a status into the errors that the emits of a Service return.
func explain(ctx context.Context, err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.OK:
		return nil
	case codes.InvalidArgument:
		return &CommandError{Code: FaultInvalid, Message: st.Message()}
	case codes.ResourceExhausted:
		message := st.Message()
		if strings.Contains(message, "larger than max") { // the text of gRPC, which does not name the setting
			message += " (the broker's setting max-frame)"
		}
		return &CommandError{Code: FaultTooLarge, Message: message}
	case codes.NotFound:
		return &CommandError{Code: FaultNotFound, Message: st.Message()}
	case codes.FailedPrecondition:
		return &CommandError{Code: FaultConflict, Message: st.Message()}
	case codes.Unimplemented:
		return &CommandError{Code: FaultUnimplemented, Message: st.Message()}
	case codes.Unavailable:
		return &PartialDeliveryError{Message: st.Message()} // a broker older than this package
	case codes.PermissionDenied, codes.Unauthenticated:
		return &CommandError{Code: FaultPermissionDenied, Message: st.Message()}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case st.Code() == codes.DeadlineExceeded: // the broker's clock may be ahead
		return context.DeadlineExceeded
	}
	return err
}
