// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// visitor is a browser that polls.
type visitor struct {
	t   *testing.T
	url string
	id  string // of its socket in the main namespace
}

// browse connects a browser to the main namespace.
func browse(t *testing.T, b *broker.Broker) *visitor {
	t.Helper()
	v := &visitor{t: t, url: "http://" + b.HTTPAddress() + "/socket.io/?EIO=4&transport=polling"}
	var opened struct{ Sid string }
	v.read("0", &opened)
	v.url += "&sid=" + opened.Sid
	v.send("40")
	v.read("40", &opened)
	v.id = opened.Sid
	return v
}

func (v *visitor) send(packet string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(testContext(v.t), http.MethodPost, v.url, strings.NewReader(packet))
	if err != nil {
		v.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	response.Body.Close()
}

// read takes what waits for the browser: one packet with the prefix, and JSON.
func (v *visitor) read(prefix string, into any) {
	v.t.Helper()
	_, body := get(v.t, v.url)
	rest, ok := strings.CutPrefix(body, prefix)
	if err := json.Unmarshal([]byte(rest), into); !ok || err != nil {
		v.t.Fatalf("%s: %v", body, err)
	}
}

// serve attaches an instance of the service, which acks every event with its own arguments, and
// emits "seen" to everyone before.
func serve(t *testing.T, b *broker.Broker, service string) {
	t.Helper()
	stream, err := spanwirev1.NewHandlerServiceClient(dial(t, b)).Attach(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *spanwirev1.AttachRequest) {
		if err := stream.Send(m); err != nil {
			t.Error(err)
		}
	}
	send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: &spanwirev1.Register{
		ProtocolVersion: 1, Service: service, InstanceId: service + "-1", Registrations: []*spanwirev1.Registration{{CatchAll: true}},
	}}})
	if m, err := stream.Recv(); err != nil || m.GetWelcome() == nil {
		t.Fatal(m, err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = stream.CloseSend()
		<-ended
	})
	go func() { // ends with the stream
		defer close(ended)
		for n := uint64(1); ; n++ {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			var actions []*spanwirev1.Action
			for _, d := range m.GetBatch().GetDispatches() {
				actions = append(actions, &spanwirev1.Action{Action: &spanwirev1.Action_Command{Command: &spanwirev1.Command{
					Command: &spanwirev1.Command_Emit{Emit: &spanwirev1.Emit{
						Target: &spanwirev1.Target{Rooms: []string{"audience"}}, Event: &spanwirev1.Event{Name: "seen"},
					}},
				}}}, &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: &spanwirev1.Result{
					DispatchId: d.GetId(), Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{Args: d.GetEvent().GetArgs()}},
				}}})
			}
			send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{
				Sequence: n, Answered: m.GetBatch().GetSequence(), Actions: actions,
			}}})
		}
	}()
}

// follow follows, and gives a function that reads until something happened so often.
func follow(t *testing.T, b *broker.Broker, filter *spanwirev1.TailRequest) (read func(n int) []string) {
	t.Helper()
	stream, err := spanwirev1.NewEmitterServiceClient(dial(t, b)).Tail(testContext(t), filter)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != nil || len(m.GetOccurrences()) > 0 {
		t.Fatalf("the first response: %v, %v", m, err)
	}
	return func(n int) (all []string) {
		t.Helper()
		for len(all) < n {
			m, err := stream.Recv()
			if err != nil {
				t.Fatalf("%v, after %q", err, all)
			}
			for _, o := range m.GetOccurrences() {
				kind := strings.ToLower(strings.TrimPrefix(o.GetKind().String(), "OCCURRENCE_KIND_"))
				all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s%s %s: %s", kind, o.GetEvent().GetName(), o.GetEvent().GetArgs(), o.GetService(), o.GetDetail())))
			}
		}
		return all
	}
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// A caller that follows a socket, a room or a service gets the trace events of the sockets of the
// replica, and none of others.
func TestTail(t *testing.T) {
	b := brokertest.Start(t)
	serve(t, b, "chat")
	everything := follow(t, b, &spanwirev1.TailRequest{})
	v := browse(t, b)
	want(t, "connect", everything(1), "connected  :")
	socket := follow(t, b, &spanwirev1.TailRequest{SocketId: v.id})
	service := follow(t, b, &spanwirev1.TailRequest{Service: "chat"})
	room := follow(t, b, &spanwirev1.TailRequest{Room: "audience"})
	code, body := post(t, b, "join", `{"rooms":["`+v.id+`"],"join":["audience"]}`)
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	bystander := browse(t, b)
	everything(1)
	v.send(`420["hello",1]`)
	turn := []string{"dispatched hello[1] chat: event", "emitted seen chat: 1 socket", "resolved hello[1] chat: event"}
	want(t, "everything", everything(3), turn...)
	want(t, "the socket", socket(3), turn...)
	want(t, "the service", service(3), turn...)
	want(t, "the room", room(3), turn...)
	bystander.send(`42["hi"]`)
	service(3)
	post(t, b, "emit", `{"event":"to all"}`)
	v.send("41")
	last := []string{"emitted to all : 2 sockets", "disconnected  : client namespace disconnect"}
	want(t, "the socket at last", socket(3), append([]string{"emitted seen chat: 1 socket"}, last...)...)
	want(t, "the room at last", room(3), append([]string{"emitted seen chat: 1 socket"}, last...)...)
}

// Tails are bounded; by HTTP each traceEvent is a line; and a replica that stops ends them.
func TestTail_HTTP(t *testing.T) {
	c := brokertest.Config(func(c *broker.Config) { c.Trace.MaxTails = 1 })
	b, err := broker.Start(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + b.OperatorAddress() + "/api/v1/tail?namespace=/") //nolint:noctx // ends with the broker
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stream, err := spanwirev1.NewEmitterServiceClient(dial(t, b)).Tail(testContext(t), &spanwirev1.TailRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "max-tails") {
		t.Errorf("a second: %v", err)
	}
	serve(t, b, "chat")
	browse(t, b)
	lines := bufio.NewReader(response.Body)
	line, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(line, `"kind":"connected","namespace":"/","socket_id":"`) {
		t.Errorf("%s, %v", line, err)
	}
	if err := b.Drain(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Errorf("the end of the tail: %v", err)
	}
}
