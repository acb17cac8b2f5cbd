// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/apijson"
)

const emitUsage = `broker emit [flags] EVENT [JSON...] sends an event to browsers, through a running broker.

Each argument is one JSON value: '{"data":"hi"}', 2, '"text"'; {"_bytes":"base64"} in it is binary. With --wait-acks, each ack is
printed as a line: the socket's id, a space, and what it answered as a JSON array; the exit code is 1 when an ack is missing. With
--key, the event is sent once however often the command is repeated: make it of the intent, such as order-17-paid.

Flags:
`

// emission is what the flags of emit say.
type emission struct {
	caller
	namespace              string
	local, volatile, count bool
	key                    string
	rooms, except          names
	acks                   milliseconds
}

func (t *terminal) emitFlags(e *emission) *flag.FlagSet {
	f := t.callerFlags("emit", &e.caller)
	f.StringVar(&e.namespace, "namespace", "/", "namespace of the receivers")
	f.Var(&e.rooms, "room", "room or socket id of the receivers; may be given several times (default: everyone)")
	f.Var(&e.except, "except", "room or socket id that is left out; may be given several times")
	f.BoolVar(&e.local, "local", false, "only browsers of the replica that takes the call")
	f.BoolVar(&e.volatile, "volatile", false, "drop it for browsers that cannot take it right now")
	f.BoolVar(&e.count, "count", false, "count the receivers in the whole cluster, and wait for that")
	f.StringVar(&e.key, "key", "", "an idempotency key: a call with the key of an earlier one is not carried out again, and prints what that did")
	f.Var(&e.acks, "wait-acks", "ask for acks and wait so long for them, in milliseconds or with a unit (5000, 5s)")
	return f
}

// emit sends one event.
func (t *terminal) emit(args []string) int {
	var e emission
	flags := t.emitFlags(&e)
	if code, ok := t.parse(flags, emitUsage, args); !ok {
		return code
	}
	if flags.NArg() == 0 {
		return t.misused(errors.New(`emit needs the name of an event: broker emit 'my response' '{"data":"hi"}'`))
	}
	array, err := jsonArray(flags.Args()[1:])
	if err != nil {
		return t.misused(err)
	}
	event := &spanwirev1.Event{Name: flags.Arg(0)}
	if event.Args, event.Attachments, err = apijson.Unpack(array); err != nil {
		return t.misused(fmt.Errorf("an argument %w", err))
	}
	answer, err := e.send(event)
	if err != nil {
		return t.failed(err)
	}
	return t.report(&e, answer)
}

// jsonArray writes the arguments as one array.
func jsonArray(args []string) ([]byte, error) {
	for _, a := range args {
		if json.Valid([]byte(a)) {
			continue
		}
		if strings.HasPrefix(a, "--") {
			return nil, fmt.Errorf("flags stand before the event: broker emit %s ... EVENT", a)
		}
		quoted, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("argument %s is no JSON value; if it is text, write it with double quotes inside the shell's: '%s'", a, quoted)
	}
	return []byte("[" + strings.Join(args, ",") + "]"), nil
}

// send tries the addresses one after another, until a broker takes the event.
func (e *emission) send(event *spanwirev1.Event) (*spanwirev1.EmitResponse, error) {
	request := &spanwirev1.EmitRequest{
		Emit: &spanwirev1.Emit{
			Target:       &spanwirev1.Target{Namespace: e.namespace, Rooms: e.rooms, Except: e.except, Local: e.local},
			Event:        event,
			Volatile:     e.volatile,
			WantCount:    e.count,
			WantAcks:     e.acks > 0,
			AckTimeoutMs: uint32(time.Duration(e.acks).Milliseconds()),
		},
		IdempotencyKey: e.key,
	}
	// One that fails may have sent it all the same: with a key, the next one does not send it
	// again.
	if e.key == "" && len(e.addresses()) > 1 {
		request.IdempotencyKey = rand.Text()
	}
	return call(context.Background(), &e.caller, time.Duration(e.acks),
		func(ctx context.Context, client spanwirev1.EmitterServiceClient) (*spanwirev1.EmitResponse, error) {
			return client.Emit(ctx, request)
		})
}

// report prints the acks, and says on standard error how many sockets there were.
func (t *terminal) report(e *emission, answer *spanwirev1.EmitResponse) int {
	for _, a := range answer.GetAcks() {
		t.print(a.GetSocketId() + " " + string(apijson.Pack(a.GetAck().GetArgs(), a.GetAck().GetAttachments())) + "\n")
	}
	if answer.GetReplayed() {
		t.say("sent before, with the same key; this is what came of it")
	}
	others := answer.GetOtherReplicas()
	switch partial := apijson.Partial(answer); {
	case e.acks > 0:
		t.say("%d acks, %d missing", len(answer.GetAcks()), answer.GetMissing())
	case partial != "":
		t.say("sent to %d sockets, and not known to be sent everywhere", answer.GetSockets())
	case e.count:
		t.say("sent to %d sockets", answer.GetSockets())
	case others > 0:
		t.say("sent to %d sockets of this replica, and to %d other replicas", answer.GetSockets(), others)
	case e.local:
		t.say("sent to %d sockets of this replica", answer.GetSockets())
	default:
		t.say("sent to %d sockets of this replica; it knows of no other replica that could have more", answer.GetSockets())
	}
	if n := answer.GetDropped(); n > 0 {
		t.say("dropped for %d of them: their queues are full (setting max-outbound), or they are about to disconnect", n)
	}
	if partial := apijson.Partial(answer); partial != "" {
		t.say("partial delivery: %s (flag --key)", partial)
		if f := answer.GetFault(); f != nil {
			t.say("%s", f.GetMessage())
		} else if !e.count && e.acks == 0 {
			// it was sent to all; that one of them is silent is no failure, as for callers by gRPC
			// and HTTP
			return exitOK
		}
		return exitFailed
	}
	if answer.GetMissing() > 0 {
		return exitFailed
	}
	return exitOK
}
