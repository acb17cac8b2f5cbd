// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// An emit that makes no sense is INVALID_ARGUMENT; one that does counts its receivers.
func TestEmitter(t *testing.T) {
	watch(t)
	ctx, conn := services(t)
	emitter := spanwirev1.NewEmitterServiceClient(conn)
	// what is taken by mistake should not hurt this test's own clients
	nobody := &spanwirev1.Target{Rooms: []string{"nobody"}}
	for name, e := range map[string]*spanwirev1.Emit{
		"nothing":       nil,
		"no target":     {Event: &spanwirev1.Event{Name: "x"}},
		"no event":      {Target: &spanwirev1.Target{}},
		"reserved name": {Target: nobody, Event: &spanwirev1.Event{Name: "connect"}},
		"not an array":  {Target: nobody, Event: &spanwirev1.Event{Name: "x", Args: []byte(`1`)}},
		"not JSON":      {Target: nobody, Event: &spanwirev1.Event{Name: "x", Args: []byte(`[nope]`)}},
		"bad UTF-8":     {Target: nobody, Event: &spanwirev1.Event{Name: "x", Args: []byte("[\"\xff\"]")}},
		"no such binary": {Target: nobody, Event: &spanwirev1.Event{
			Name: "x", Attachments: [][]byte{{1}}, Args: []byte(`[{"_placeholder":true,"num":3}]`)}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := emitter.Emit(ctx, &spanwirev1.EmitRequest{Emit: e}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("answered %v", err)
			}
		})
	}
	c := connect(t)
	response, err := emitter.Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: nobody, Event: &spanwirev1.Event{Name: "x"}}})
	if err != nil || response.GetSockets() != 0 {
		t.Errorf("%v, %v", response, err)
	}
	if err := c.echo(1); err != nil {
		t.Error(err)
	}
}

// What is no gRPC gets nowhere at the services' listener.
func TestServices_ErrGarbage(t *testing.T) {
	watch(t)
	for name, data := range map[string]string{
		"noise": strings.Repeat("\xde\xad\xbe\xef", 1000),
		"HTTP":  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		"cut":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) { raw(t, shared.broker.Services, []byte(data)) })
	}
}

// Operators' tools find the services by reflection, and their health.
func TestServices_OK(t *testing.T) {
	ctx, conn := services(t)
	h := healthv1.NewHealthClient(conn)
	for _, service := range []string{"", "spanwire.v1.HandlerService", "spanwire.v1.EmitterService"} {
		response, err := h.Check(ctx, &healthv1.HealthCheckRequest{Service: service})
		if err != nil || response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, response, err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	found := response.String()
	for _, want := range []string{"spanwire.v1.HandlerService", "spanwire.v1.EmitterService", "grpc.health.v1.Health"} {
		if !strings.Contains(found, want) {
			t.Errorf("reflection does not list %s: %s", want, found)
		}
	}
}

// The operators' listener tells health, readiness and metrics, and profiles.
func TestOperators_OK(t *testing.T) {
	for _, p := range []string{"/healthz", "/readyz", "/status", "/", "/metrics", "/debug/pprof/goroutine?debug=1"} {
		if body, err := shared.broker.Get(p); err != nil || body == "" {
			t.Errorf("%s: %q, %v", p, body, err)
		}
	}
}
