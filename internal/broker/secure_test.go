// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
	"github.com/spanwire/spanwire/internal/certs/certstest"
)

// files writes a certificate of the authority into a directory of its own.
func files(t *testing.T, a *certstest.Authority) (f broker.TLS) {
	t.Helper()
	f.Cert, f.Key, f.ClientCA = a.Write(t.TempDir(), "broker")
	return f
}

// dialServices connects to the services' listener; nil is plain text.
func dialServices(t *testing.T, b *broker.Broker, c *tls.Config, token string) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if c != nil {
		creds = credentials.NewTLS(c)
	}
	withToken := func(ctx context.Context) context.Context {
		if token == "" {
			return ctx
		}
		return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	conn, err := grpc.NewClient(b.ServiceAddress(), grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			return invoke(withToken(ctx), method, req, reply, cc, o...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(withToken(ctx), d, cc, method, o...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// emitIn emits to a namespace.
func emitIn(t *testing.T, conn *grpc.ClientConn, ns string) error {
	t.Helper()
	_, err := spanwirev1.NewEmitterServiceClient(conn).Emit(t.Context(), &spanwirev1.EmitRequest{Emit: &spanwirev1.Emit{
		Target: &spanwirev1.Target{Namespace: ns}, Event: &spanwirev1.Event{Name: "news"},
	}})
	return err
}

// attachAs attaches an instance, and gives its stream and how it was answered.
func attachAs(t *testing.T, conn *grpc.ClientConn, service, ns string) (grpc.BidiStreamingClient[spanwirev1.AttachRequest, spanwirev1.AttachResponse], error) {
	t.Helper()
	stream, err := spanwirev1.NewHandlerServiceClient(conn).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: &spanwirev1.Register{
		ProtocolVersion: 1, Service: service, InstanceId: service + "-1",
		Registrations: []*spanwirev1.Registration{{Namespace: ns, CatchAll: true}},
	}}})
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	return stream, err
}

// Services show certificates of the right authority, or they are refused.
func TestStart_mTLS(t *testing.T) {
	ours, theirs := certstest.New(t), certstest.New(t)
	b := brokertest.Start(t, func(c *broker.Config) { c.Listen.ServiceTLS = files(t, ours) })
	foreign := theirs.Client("chat")
	foreign.RootCAs = ours.Pool()
	elsewhere := ours.Client("chat")
	elsewhere.ServerName = "other.example"
	for name, tt := range map[string]struct {
		client *tls.Config
		want   codes.Code
	}{
		"right":          {ours.Client("chat"), codes.OK},
		"plain text":     {nil, codes.Unavailable},
		"no certificate": {ours.Client(""), codes.Unavailable},
		"expired":        {ours.Client("chat", certstest.Expired), codes.Unavailable},
		"of others":      {foreign, codes.Unavailable},
		"wrong name":     {elsewhere, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if err := emitIn(t, dialServices(t, b, tt.client, ""), "/"); status.Code(err) != tt.want {
				t.Errorf("%v", err)
			}
		})
	}
	if _, text := get(t, "http://"+b.OperatorAddress()+"/metrics"); !strings.Contains(text, `spanwire_certificate_failed_handshakes_total{listener="services"}`) {
		t.Error("failed handshakes are not counted")
	}
}

const twoCallers = `
callers:
  - {name: chat, tokens: [token-of-chat-0001], services: [chat], namespaces: [/chat]}
  - {name: watch, certificates: [watch], may: [query]}
`

// Each caller may do what its file says, in words that tell who, what and where to change it; what
// the file says later holds for who is there already.
func TestStart_Callers(t *testing.T) {
	authority := certstest.New(t)
	file := filepath.Join(t.TempDir(), "callers.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(twoCallers)
	b := brokertest.Start(t, func(c *broker.Config) {
		c.Listen.ServiceTLS = files(t, authority)
		c.Listen.ServiceTLS.Optional = true
		c.Listen.ServiceCallers, c.Listen.ReloadInterval = file, 10*time.Millisecond
	})
	chat := dialServices(t, b, authority.Client(""), "token-of-chat-0001")
	watch := dialServices(t, b, authority.Client("watch"), "")
	nobody := dialServices(t, b, authority.Client("nobody"), "")

	is := func(what string, err error, want codes.Code, words ...string) {
		t.Helper()
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		for _, w := range words {
			if !strings.Contains(fmt.Sprint(err), w) {
				t.Errorf("%s: %v does not say %q", what, err, w)
			}
		}
	}
	is("chat emits", emitIn(t, chat, "/chat"), codes.OK)
	is("chat emits elsewhere", emitIn(t, chat, "/other"), codes.PermissionDenied, "chat", `"/other"`, "service-callers")
	is("watch emits", emitIn(t, watch, "/chat"), codes.PermissionDenied, "watch", "emit")
	is("nobody emits", emitIn(t, nobody, "/chat"), codes.Unauthenticated, `"nobody"`)
	is("nobody calls what there is not", nobody.Invoke(t.Context(), "/spanwire.v1.Nothing/Do", &spanwirev1.EmitRequest{}, &spanwirev1.EmitResponse{}),
		codes.Unauthenticated)
	is("chat calls what there is not", chat.Invoke(t.Context(), "/spanwire.v1.Nothing/Do", &spanwirev1.EmitRequest{}, &spanwirev1.EmitResponse{}),
		codes.Unimplemented)
	list := func(conn *grpc.ClientConn) error {
		_, err := spanwirev1.NewEmitterServiceClient(conn).ListServices(t.Context(), &spanwirev1.ListServicesRequest{})
		return err
	}
	is("watch looks", list(watch), codes.OK)
	is("chat looks everywhere", list(chat), codes.PermissionDenied)
	_, err := attachAs(t, chat, "other", "/chat")
	is("chat attaches as another service", err, codes.PermissionDenied, `"other"`)
	_, err = attachAs(t, chat, "chat", "/")
	is("chat attaches elsewhere", err, codes.PermissionDenied, `"/"`)
	_, err = attachAs(t, watch, "chat", "/chat")
	is("watch attaches", err, codes.PermissionDenied)
	stream, err := attachAs(t, chat, "chat", "/chat")
	is("chat attaches", err, codes.OK)

	write(strings.Replace(twoCallers, "token-of-chat-0001", "token-of-chat-0001, token-of-chat-0002", 1))
	fresh := dialServices(t, b, authority.Client(""), "token-of-chat-0002")
	for status.Code(emitIn(t, fresh, "/chat")) == codes.Unauthenticated { // until the file was read
		time.Sleep(5 * time.Millisecond)
	}
	write("callers: {") // nothing changes
	is("the stream goes on", stream.Send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Registrations{
		Registrations: &spanwirev1.Registrations{Registrations: []*spanwirev1.Registration{{Namespace: "/", CatchAll: true}}},
	}}), codes.OK)
	m, err := stream.Recv()
	if f := m.GetRegistered().GetFault(); err != nil || f.GetCode() != spanwirev1.FaultCode_FAULT_CODE_PERMISSION_DENIED {
		t.Errorf("chat declares what it may not: %v, %v", f, err)
	}
	write(strings.Replace(twoCallers, "token-of-chat-0001", "token-of-chat-0002", 1))
	for err == nil { // faults and topologies may come before
		_, err = stream.Recv()
	}
	is("a stream whose token is gone", err, codes.Unauthenticated)
	is("a call with it", emitIn(t, chat, "/chat"), codes.Unauthenticated)
	is("a call with the new one", emitIn(t, fresh, "/chat"), codes.OK)
}

// Browsers and operators come by TLS, WebSocket too; a certificate that is replaced is shown to who
// comes next, and disturbs nobody.
func TestStart_TLS(t *testing.T) {
	authority := certstest.New(t)
	var browsers, operators broker.TLS
	b := brokertest.Start(t, func(c *broker.Config) {
		browsers, operators = files(t, authority), files(t, authority)
		browsers.ClientCA = ""
		c.Listen.HTTPTLS, c.Listen.OperatorTLS, c.Listen.ReloadInterval = browsers, operators, 10*time.Millisecond
	})
	if !strings.Contains(b.Greeting(), "open https://") {
		t.Errorf("greeting %q", b.Greeting())
	}
	dialer := websocket.Dialer{TLSClientConfig: authority.Client("")}
	dial := func() (*websocket.Conn, string) {
		t.Helper()
		ws, response, err := dialer.Dial("wss://"+b.HTTPAddress()+"/socket.io/?EIO=4&transport=websocket", http.Header{"Origin": {"https://" + b.HTTPAddress()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		if _, data, err := ws.ReadMessage(); err != nil || data[0] != '0' {
			t.Fatalf("%s, %v", data, err)
		}
		response.Body.Close()
		return ws, ws.NetConn().(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	first, name := dial()
	if name != "broker" {
		t.Errorf("the certificate is of %q", name)
	}
	authority.Write(filepath.Dir(browsers.Cert), "replaced")
	for name != "replaced" {
		_, name = dial()
	}
	if err := first.WriteMessage(websocket.TextMessage, []byte("40/nowhere,")); err != nil {
		t.Fatal(err)
	}
	for { // the connection goes on: its connect is held, and pings may come
		first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := first.ReadMessage(); err != nil {
			if !strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection of before ended: %v", err)
			}
			break
		}
	}
	for client, want := range map[*tls.Config]bool{authority.Client("operator"): true, authority.Client(""): false} {
		h := http.Client{Transport: &http.Transport{TLSClientConfig: client, DisableKeepAlives: true}}
		response, err := h.Get("https://" + b.OperatorAddress() + "/metrics")
		if (err == nil) != want {
			t.Errorf("an operator with %d certificates: %v", len(client.Certificates), err)
		}
		if err == nil {
			found := false
			for lines := bufio.NewScanner(response.Body); lines.Scan(); {
				found = found || strings.HasPrefix(lines.Text(), `spanwire_certificate_not_after_seconds{listener="browsers"}`)
			}
			response.Body.Close()
			if !found {
				t.Error("the expiry of the certificate is not exported")
			}
		}
	}
	if response, err := http.Get("http://" + b.HTTPAddress() + "/socket.io/?EIO=4&transport=polling"); err == nil {
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("plain text: %d", response.StatusCode)
		}
	}
}

// Replicas show certificates to each other: over NATS, and where they hand requests over.
func TestCluster_TLS(t *testing.T) {
	authority := certstest.New(t)
	shared := func(c *broker.Config) { c.Cluster.TLS = files(t, authority) }
	all := brokertest.Cluster(t, 2, shared)
	h := http.Client{}
	get := func(b *broker.Broker, query string) (int, string) {
		t.Helper()
		response, err := h.Get("http://" + b.HTTPAddress() + "/socket.io/?EIO=4&transport=polling" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	_, body := get(all[0], "")
	_, rest, _ := strings.Cut(body, `"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	response, err := h.Post("http://"+all[1].HTTPAddress()+"/socket.io/?EIO=4&transport=polling&sid="+sid, "text/plain", strings.NewReader("40/x,"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("a request of the other's session: %d", response.StatusCode)
	}

	foreign := certstest.New(t)
	c := brokertest.Config(func(c *broker.Config) {
		c.Cluster.TLS = files(t, foreign)
		c.Cluster.NATS.URL = "nats://" + all[0].NATSAddress()
	})
	outsider, err := broker.Start(c, quiet())
	if err != nil {
		return // refused at once
	}
	defer func() { _ = outsider.Drain() }()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := outsider.Joined(ctx, 2); err == nil {
		t.Error("a replica of another authority joined")
	}
}
