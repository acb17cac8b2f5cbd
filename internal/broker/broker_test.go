// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// testContext bounds every wait of a test.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func get(t *testing.T, url string, header ...string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func dial(t *testing.T, b *broker.Broker) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(b.ServiceAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func emit(t *testing.T, b *broker.Broker, token string) (*spanwirev1.EmitResponse, error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(testContext(t), "authorization", "Bearer "+token)
	return spanwirev1.NewEmitterServiceClient(dial(t, b)).Emit(ctx, &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "hello"},
	}})
}

// A broker that starts has all listeners open, and its greeting names them.
func TestStart(t *testing.T) {
	b := brokertest.Start(t)
	want := fmt.Sprintf("Spanwire is ready: open http://%s (services dial %s, operators http://%s)", b.HTTPAddress(), b.ServiceAddress(), b.OperatorAddress())
	if b.Greeting() != want {
		t.Errorf("greeting: %s", b.Greeting())
	}
	if code, body := get(t, "http://"+b.HTTPAddress()+"/socket.io/?EIO=4&transport=polling"); code != 200 || !strings.HasPrefix(body, `0{"sid":"`) {
		t.Errorf("browsers: %d %s", code, body)
	}
	if code, _ := get(t, "http://"+b.HTTPAddress()+"/socket.io/socket.io.js"); code != 200 {
		t.Errorf("the client: %d", code)
	}
	if code, body := get(t, "http://"+b.OperatorAddress()+"/readyz"); code != 200 {
		t.Errorf("readiness: %d %s", code, body)
	}
	if code, body := get(t, "http://"+b.OperatorAddress()+"/metrics"); code != 200 || !strings.Contains(body, "spanwire_engine_sessions") ||
		!strings.Contains(body, `spanwire_build_info{version="`+broker.Version()+`"`) || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %d", code)
	}
	if answer, err := emit(t, b, ""); err != nil || answer.GetSockets() != 0 {
		t.Errorf("emit: %v %v", answer, err)
	}
}

// Standard gRPC tools find the services, and whether they serve.
func TestStart_Services(t *testing.T) {
	b := brokertest.Start(t)
	conn := dial(t, b)
	for _, name := range []string{"", "spanwire.v1.HandlerService", "spanwire.v1.EmitterService"} {
		answer, err := healthv1.NewHealthClient(conn).Check(testContext(t), &healthv1.HealthCheckRequest{Service: name})
		if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v %v", name, answer, err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || !strings.Contains(answer.String(), "spanwire.v1.HandlerService") {
		t.Errorf("reflection: %v %v", answer, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

// Where tokens are set, only those who know one get in.
func TestStart_Tokens(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Listen.ServiceTokens = []string{"old-secret", "new-secret"} })
	for token, want := range map[string]codes.Code{"old-secret": codes.OK, "new-secret": codes.OK, "": codes.Unauthenticated, "guess": codes.Unauthenticated} {
		if _, err := emit(t, b, token); status.Code(err) != want {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

// A broker that cannot start says in one sentence what to do, and leaves nothing open.
func TestStart_Err(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name   string
		change func(*broker.Config)
		want   []string
	}{
		{"browsers' port in use", func(c *broker.Config) { c.Listen.HTTPAddress = taken.Addr().String() }, []string{"in use", "--http-address"}},
		{"services' port in use", func(c *broker.Config) { c.Listen.ServiceAddress = taken.Addr().String() }, []string{"in use", "--service-address"}},
		{"operators' port in use", func(c *broker.Config) { c.Listen.OperatorAddress = taken.Addr().String() }, []string{"in use", "--operator-address"}},
		{"foreign address", func(c *broker.Config) { c.Listen.HTTPAddress = "192.0.2.1:80" }, []string{"no address of this machine", "--http-address"}},
		{"NATS port in use", func(c *broker.Config) { c.Cluster.NATS.Listen = taken.Addr().String() }, []string{"nats-listen", "in use"}},
		{"no certificate", func(c *broker.Config) {
			c.Listen.ServiceTLS.Cert, c.Listen.ServiceTLS.Key = "/nowhere.pem", "/nowhere.key"
		},
			[]string{"service-tls-cert", "/nowhere.pem"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := broker.Start(brokertest.Config(tt.change), quiet())
			if err == nil {
				t.Error(b.Drain())
				t.Fatal("it started")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

// A replica that drains says so, sends its browsers away, and ends within its time even when one of
// them never fetches the news.
func TestBroker_Drain(t *testing.T) {
	c := brokertest.Config()
	c.Run.DrainTimeout = 3 * time.Second // in which three requests are answered here
	b, err := broker.Start(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	get(t, "http://"+b.HTTPAddress()+"/socket.io/?EIO=4&transport=polling")
	drained := make(chan error, 1)
	go func() { drained <- b.Drain() }() // ends by itself
	ready := 200
	for ready == 200 {
		ready, _ = get(t, "http://"+b.OperatorAddress()+"/readyz")
	}
	if ready != 503 {
		t.Errorf("readiness while draining: %d", ready)
	}
	if code, _ := get(t, "http://"+b.HTTPAddress()+"/socket.io/?EIO=4&transport=polling"); code != 503 {
		t.Errorf("a new session while draining: %d", code)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", b.HTTPAddress()); err == nil {
		conn.Close()
		t.Error("the browsers' entry point is still open")
	}
}

// Run serves until its context ends.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	greeting := ""
	err := broker.Run(ctx, brokertest.Config(), quiet(), func(b *broker.Broker) {
		greeting = b.Greeting()
		cancel()
	})
	if err != nil || !strings.HasPrefix(greeting, "Spanwire is ready") {
		t.Errorf("%v, %q", err, greeting)
	}
}

// Replicas find each other, and what one emits reaches the others.
func TestCluster(t *testing.T) {
	all := brokertest.Cluster(t, 3)
	if _, err := emit(t, all[2], ""); err != nil {
		t.Error(err)
	}
	for _, b := range all {
		if code, body := get(t, "http://"+b.OperatorAddress()+"/status"); code != 200 || strings.Count(body, `"`) < 10 {
			t.Errorf("status: %d %s", code, body)
		}
	}
}
