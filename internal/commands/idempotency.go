// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"context"
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// Calls with idempotency keys, of callers without a stream: gRPC's Execute and the HTTP API.
// Package idempotency remembers; here an answer becomes bytes to remember, and back.

// maxKey bounds an idempotency key, in bytes.
const maxKey = 128

// keyedAnswer begins an answer that is remembered: an Answer of spanwire.v1 follows.
const keyedAnswer = 1

// Execute carries out a command of a caller without a stream. Under an idempotency key it does so
// once: replayed says that the answer is that of an earlier call. An error means that the command
// is invalid, that the caller may not make it, or that its answer could not be waited for.
func (x *Executor) Execute(ctx context.Context, key string, m *spanwirev1.Command, by *Caller) (a *spanwirev1.Answer, replayed bool, err error) {
	r, err := x.Begin(m, by)
	switch {
	case err != nil:
		return nil, false, err
	case key == "":
		return x.Do(ctx, &r), false, nil
	}
	return x.once(ctx, key, m, &r, by)
}

// once carries the request out unless it was, under the key. Once begun, it goes on when the caller
// leaves, who may ask again for the answer.
func (x *Executor) once(ctx context.Context, key string, m *spanwirev1.Command, r *Request, by *Caller) (a *spanwirev1.Answer, replayed bool, err error) {
	const op = "idempotency key"
	if len(key) > maxKey {
		return nil, false, sio.E(sio.CodeInvalid, op, fmt.Sprintf("it has %d bytes; at most %d are accepted", len(key), maxKey))
	}
	m.Id = 0
	request, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, false, sio.E(sio.CodeInvalid, op, "the command cannot be compared with others: a name in it is not UTF-8")
	}
	data, replayed, err := x.calls.Do(ctx, sio.CallKey{Caller: by.Identity().Name(), Key: key}, sha256.Sum256(request), func() []byte {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(x.life, cancel)()
		a = x.Do(ctx, r)
		return rememberedAnswer(a)
	})
	if err != nil || !replayed {
		return a, false, err
	}
	a = new(spanwirev1.Answer)
	if data[0] != keyedAnswer || proto.Unmarshal(data[1:], a) != nil {
		return nil, false, sio.E(sio.CodeUnavailable, op, "the call was carried out at a replica of another version, whose answer cannot be read here")
	}
	return a, true, nil
}

// rememberedAnswer is what later calls with the key get; nil when the call may be tried again.
func rememberedAnswer(a *spanwirev1.Answer) []byte {
	if didNothing(a) {
		return nil
	}
	data, err := proto.MarshalOptions{}.MarshalAppend([]byte{keyedAnswer}, a)
	if err != nil {
		data, _ = proto.MarshalOptions{}.MarshalAppend([]byte{keyedAnswer}, &spanwirev1.Answer{Sockets: a.GetSockets(), Missing: a.GetMissing()})
	}
	return data
}

// didNothing reports whether a failed call may be tried again. One that was delivered in part may
// not, even when it reached no socket here: it may wait for the backplane to come back, and then
// reach others.
func didNothing(a *spanwirev1.Answer) bool {
	code := a.GetFault().GetCode()
	return code != spanwirev1.FaultCode_FAULT_CODE_UNSPECIFIED && code != spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE
}
