// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// instance is a handler that speaks the contract by itself. It acks every message with its own
// name.
type instance struct {
	t       *testing.T
	id      string
	stream  grpc.BidiStreamingClient[spanwirev1.AttachRequest, spanwirev1.AttachResponse]
	sent    uint64
	answers chan *spanwirev1.Answer
	out     chan *spanwirev1.Action
}

func attach(t *testing.T, b *broker.Broker, id string) *instance {
	t.Helper()
	stream, err := spanwirev1.NewHandlerServiceClient(dial(t, b)).Attach(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, id: id, stream: stream, answers: make(chan *spanwirev1.Answer, 10), out: make(chan *spanwirev1.Action, 10)}
	i.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: &spanwirev1.Register{
		ProtocolVersion: 1, Service: "test", InstanceId: id,
		Registrations: []*spanwirev1.Registration{{CatchAll: true, Messages: []string{"*"}}},
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
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			for _, d := range m.GetBatch().GetDispatches() {
				if d.GetMessage() != nil {
					i.out <- &spanwirev1.Action{Action: &spanwirev1.Action_Result{Result: &spanwirev1.Result{
						DispatchId: d.GetId(), Outcome: &spanwirev1.Result_Ack{Ack: &spanwirev1.Ack{Args: fmt.Appendf(nil, "[%q]", id)}},
					}}}
				}
			}
			for _, a := range m.GetBatch().GetAnswers() {
				i.answers <- a
			}
		}
	}()
	return i
}

func (i *instance) send(m *spanwirev1.AttachRequest) {
	i.t.Helper()
	if err := i.stream.Send(m); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) act(a *spanwirev1.Action) {
	i.t.Helper()
	i.sent++
	i.send(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Batch{Batch: &spanwirev1.ActionBatch{
		Sequence: i.sent, Answered: i.sent - 1, Actions: []*spanwirev1.Action{a},
	}}})
}

// ask sends a command and waits for its answer.
func (i *instance) ask(c *spanwirev1.Command) *spanwirev1.Answer {
	i.t.Helper()
	c.Id = i.sent + 1
	i.act(&spanwirev1.Action{Action: &spanwirev1.Action_Command{Command: c}})
	a := <-i.answers
	if a.GetId() != c.GetId() || a.GetFault() != nil || len(a.GetSilentReplicas()) > 0 {
		i.t.Fatalf("%v gave %v", c, a)
	}
	return a
}

// visit connects a browser to the main namespace, and waits until it is in.
func visit(t *testing.T, b *broker.Broker) {
	t.Helper()
	url := "http://" + b.HTTPAddress() + "/socket.io/?EIO=4&transport=polling"
	_, body := get(t, url)
	var opened struct{ Sid string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &opened); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, url+"&sid="+opened.Sid, strings.NewReader("40"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if _, body := get(t, url+"&sid="+opened.Sid); !strings.HasPrefix(body, "40") {
		t.Fatalf("the answer to the connect is %s", body)
	}
}

// In a cluster an instance finds the sockets and rooms of all replicas, keeps data with any of
// them, and reaches all other instances.
func TestCluster_Queries(t *testing.T) {
	all := brokertest.Cluster(t, 3)
	caller := attach(t, all[0], "caller")
	var others []*instance
	for n, b := range all {
		others = append(others, attach(t, b, fmt.Sprint("other-", n)))
		visit(t, b)
	}
	whole := &spanwirev1.Target{}
	caller.ask(&spanwirev1.Command{Command: &spanwirev1.Command_Join{Join: &spanwirev1.Join{Target: whole, Rooms: []string{"room"}}}})
	fetch := func() []*spanwirev1.SocketInfo {
		return caller.ask(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{FetchSockets: &spanwirev1.FetchSockets{Target: whole}}}).GetFound()
	}
	found := fetch()
	replicas := map[string]bool{}
	for _, s := range found {
		replicas[s.GetReplica()] = true
		if !slices.Equal(s.GetRooms(), []string{s.GetSocketId(), "room"}) || s.GetHandshake().GetTransport() != "polling" {
			t.Errorf("found %v", s)
		}
		caller.ask(&spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{SocketId: s.GetSocketId(), Data: []byte(`7`)}}})
	}
	if len(found) != 3 || len(replicas) != 3 {
		t.Errorf("found %d on %d replicas", len(found), len(replicas))
	}
	for _, s := range fetch() {
		if string(s.GetData()) != "7" {
			t.Errorf("data of %v", s)
		}
	}
	rooms := caller.ask(&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{ListRooms: &spanwirev1.ListRooms{}}}).GetRooms()
	if len(rooms) != 1 || rooms[0].GetName() != "room" || rooms[0].GetSockets() != 3 {
		t.Errorf("rooms %v", rooms)
	}
	for _, o := range others {
		go func() { // ends with its one result
			o.act(<-o.out)
		}()
	}
	acks := caller.ask(&spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{
		Event: &spanwirev1.Event{Name: "hello"}, WantAcks: true,
	}}})
	var came []string
	for _, a := range acks.GetInstanceAcks() {
		came = append(came, a.GetInstanceId()+string(a.GetAck().GetArgs()))
	}
	slices.Sort(came)
	if got := fmt.Sprint(came, acks.GetMissing()); got != `[other-0["other-0"] other-1["other-1"] other-2["other-2"]] 0` {
		t.Errorf("acks %s", got)
	}
}
