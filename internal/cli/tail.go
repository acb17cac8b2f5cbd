// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/apijson"
)

const tailUsage = `broker tail [flags] follows what happens to sockets, live, at all replicas of a cluster.

Each traceEvent is a line: when, what, the namespace, the socket or the rooms, the service and the instance, the event with its arguments, and an
explanation. What fits all of --namespace, --socket, --room and --service is followed; without any, everything. With --json each is a
JSON object. It goes on until it is interrupted (exit code 130). Replicas that come are followed too, and those that go are looked for
again; by a caller that may not see the replicas, only those of --address are. What happens faster than it can be read is left out, and
counted.

Flags:
`

// following is a tail of a cluster.
type following struct {
	*terminal
	caller
	filter spanwirev1.TailRequest
	asJSON bool
	cancel context.CancelCauseFunc // ends it all
	work   sync.WaitGroup

	printing sync.Mutex // a line at a time

	mu       sync.Mutex      // guards what follows
	replicas map[string]bool // that are followed, by id
	unknown  map[string]bool // replicas without an address, said once
}

// tail follows.
func (t *terminal) tail(args []string) int {
	f := &following{terminal: t, replicas: map[string]bool{}, unknown: map[string]bool{}}
	flags := t.callerFlags("tail", &f.caller)
	flags.StringVar(&f.filter.Namespace, "namespace", "", "only what happens in the namespace (default: in all)")
	flags.StringVar(&f.filter.SocketId, "socket", "", "only what happens to the socket with the id")
	flags.StringVar(&f.filter.Room, "room", "", "only what is emitted to the room, and what happens to its sockets")
	flags.StringVar(&f.filter.Service, "service", "", "only what the service is handed, and what it resolves and emits")
	flags.BoolVar(&f.asJSON, "json", false, "print a JSON object for each traceEvent, on a line of its own")
	if code, ok := t.parseAlone(flags, tailUsage, args); !ok {
		return code
	}
	if err := f.prepare(); err != nil {
		return t.failed(err)
	}
	signals := listen(false)
	defer signals.stop()
	err := f.run(signals.ctx)
	if err != nil {
		return t.failed(err)
	}
	return signalled + signals.number()
}

// replicasAgain is how often replicas are looked for that are not followed.
const replicasAgain = 2 * time.Second

// run follows until ctx ends, which is no error.
func (f *following) run(ctx context.Context) error {
	ctx, f.cancel = context.WithCancelCause(ctx)
	defer f.work.Wait()
	defer f.cancel(nil)
	first := true
	for {
		list, address, err := f.look(ctx)
		switch {
		case err == nil:
			f.follow(ctx, list, address)
		case status.Code(err) == codes.PermissionDenied: // to see the replicas
			f.follow(ctx, f.given(), "")
		case ctx.Err() != nil:
		case first || fatal(err):
			return f.explain(ctx, address, err, false)
		}
		first = false
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil
		case <-time.After(replicasAgain):
		}
	}
}

// look asks who is there, and tells the address that answered.
func (f *following) look(ctx context.Context) (list *spanwirev1.ListServicesResponse, address string, err error) {
	for _, address = range f.addresses() {
		list, err = callOne(ctx, &f.caller, address, 0, func(ctx context.Context, client spanwirev1.EmitterServiceClient) (*spanwirev1.ListServicesResponse, error) {
			return client.ListServices(ctx, &spanwirev1.ListServicesRequest{})
		})
		if err == nil || fatal(err) {
			break
		}
	}
	return list, address, err
}

// given stands for the replicas of a caller that may not see them: those whose addresses it gave.
func (f *following) given() *spanwirev1.ListServicesResponse {
	t := new(spanwirev1.Topology)
	for _, address := range f.addresses() {
		t.Replicas = append(t.Replicas, &spanwirev1.Replica{Id: address, Address: address})
	}
	return &spanwirev1.ListServicesResponse{Topology: t}
}

// fatal tells whether trying again is of no use.
func fatal(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented, codes.ResourceExhausted:
		return true
	}
	return false
}

// follow begins to follow the replicas that it does not follow.
func (f *following) follow(ctx context.Context, list *spanwirev1.ListServicesResponse, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range list.GetTopology().GetReplicas() {
		at := r.GetAddress()
		if r.GetId() == list.GetReplica() {
			at = address
		}
		switch {
		case f.replicas[r.GetId()]:
		case at == "":
			if !f.unknown[r.GetId()] {
				f.unknown[r.GetId()] = true
				f.say("replica %s cannot be followed: it does not tell its address (its setting advertise-address)", r.GetId())
			}
		default:
			f.replicas[r.GetId()] = true
			f.work.Go(func() { // ends with its stream or ctx
				f.followOne(ctx, r.GetId(), at)
				f.mu.Lock()
				defer f.mu.Unlock()
				delete(f.replicas, r.GetId())
			})
		}
	}
}

// followOne prints what happens at one replica until its stream ends.
func (f *following) followOne(ctx context.Context, replica, address string) {
	err := f.stream(ctx, replica, address)
	switch {
	case ctx.Err() != nil:
	case fatal(err):
		f.cancel(f.explain(ctx, address, err, false))
	default:
		f.say("replica %s went away: %s", replica, status.Convert(err).Message())
	}
}

func (f *following) stream(ctx context.Context, replica, address string) error {
	client, ctx, end, err := f.connect(ctx, address)
	if err != nil {
		return err
	}
	defer end()
	stream, err := client.Tail(ctx, &spanwirev1.TailRequest{
		Namespace: f.filter.GetNamespace(), SocketId: f.filter.GetSocketId(), Room: f.filter.GetRoom(), Service: f.filter.GetService(),
	})
	for begun := false; err == nil; begun = true {
		var m *spanwirev1.TailResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if !begun {
			f.say("following replica %s at %s", replica, address)
		}
		for _, o := range m.GetOccurrences() {
			if err := f.show(apijson.TraceEventFromProto(o, replica)); err != nil {
				f.cancel(err) // nobody reads any more
				return err
			}
		}
	}
	return err
}

func (f *following) show(o apijson.TraceEvent) error {
	f.printing.Lock()
	defer f.printing.Unlock()
	if f.asJSON {
		return json.NewEncoder(f.out).Encode(o)
	}
	_, err := io.WriteString(f.out, traceEventToText(&o))
	return err
}

// traceEventToText writes an traceEvent for people.
func traceEventToText(o *apijson.TraceEvent) string {
	parts := []string{o.Time.Local().Format("15:04:05.000"), fmt.Sprintf("%-12s", o.Kind), harmless(o.Namespace)}
	if o.SocketID != "" {
		parts = append(parts, harmless(o.SocketID))
	}
	for _, r := range o.Rooms {
		parts = append(parts, "room "+harmless(r))
	}
	if o.Service != "" {
		parts = append(parts, strings.TrimSuffix(o.Service+"/"+o.InstanceID, "/"))
	}
	if e := o.Event; e != nil {
		args := e.Text
		if args == "" {
			args = string(e.Args)
		}
		parts = append(parts, harmless(e.Name), harmless(args))
	}
	if o.Detail != "" {
		parts = append(parts, harmless(o.Detail))
	}
	if o.Missed > 0 {
		parts = append(parts, fmt.Sprintf("(%d before were missed)", o.Missed))
	}
	return strings.Join(parts, "  ") + "\n"
}
