// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// A caller follows what it may see, and no longer than it may.
func TestServer_Tail_callers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "callers.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("callers: ["+text+"]"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const one = "{name: one, tokens: [token-of-one-0001], may: [query], namespaces: [/n]}"
	write(one + ", {name: two, tokens: [token-of-two-0002], may: [emit]}")
	who, err := auth.Open(nil, file)
	if err != nil {
		t.Fatal(err)
	}
	board := trace.New(trace.Options{}, metrics.NewTrace(nil))
	h := newHouse(t, Options{Callers: who, Board: board}, dispatch.Options{})
	client := spanwirev1.NewEmitterServiceClient(h.conn)
	follow := func(token, ns string) (grpc.ServerStreamingClient[spanwirev1.TailResponse], error) {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		stream, err := client.Tail(ctx, &spanwirev1.TailRequest{Namespace: ns})
		if err == nil {
			_, err = stream.Recv()
		}
		return stream, err
	}
	for _, x := range []struct {
		token, ns string
		want      codes.Code
	}{
		{"token-of-one-0001", "", codes.PermissionDenied}, {"token-of-one-0001", "/other", codes.PermissionDenied},
		{"token-of-two-0002", "/n", codes.PermissionDenied}, {"token-of-nobody-00", "/n", codes.Unauthenticated},
		{"token-of-one-0001", "n", codes.InvalidArgument},
	} {
		if _, err := follow(x.token, x.ns); status.Code(err) != x.want {
			t.Errorf("%s in %q: %v, want %v", x.token, x.ns, err, x.want)
		}
	}
	stream, err := follow("token-of-one-0001", "/n")
	if err != nil {
		t.Fatal(err)
	}
	happened := func(name string) {
		board.Happened(&sio.TraceEvent{Kind: sio.Emitted, Namespace: "/n", Event: sio.Event{Name: name}, Reaches: func(sio.SocketID) bool { return false }})
	}
	happened("before")
	if m, err := stream.Recv(); err != nil || m.GetOccurrences()[0].GetEvent().GetName() != "before" {
		t.Errorf("%v, %v", m, err)
	}
	write(strings.Replace(one, "query", "emit", 1))
	if err := who.Load(); err != nil {
		t.Fatal(err)
	}
	happened("after")
	if m, err := stream.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("%v, %v", m, err)
	}
}

// What is missed before an event that is left out is reported with the next one that is not.
func TestServer_inRoom(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	h.hub.Add("/", &browser{id: "in"})
	h.hub.Apply(&sio.Join{Target: sio.Target{Namespace: "/"}, Rooms: []sio.Room{"r"}})
	h.hub.Add("/", &browser{id: "out"})
	entry := func(id sio.SocketID, missed uint64) trace.Entry {
		return trace.Entry{TraceEvent: sio.TraceEvent{Namespace: "/", Socket: id}, Missed: missed, Uncertain: true}
	}
	kept, missed := h.server.inRoom([]trace.Entry{entry("out", 2), entry("in", 1), entry("in", 0), entry("gone", 4)}, "r", 1)
	if len(kept) != 2 || kept[0].Missed != 4 || kept[1].Missed != 0 || missed != 4 {
		t.Errorf("kept %+v, missed %d", kept, missed)
	}
}
