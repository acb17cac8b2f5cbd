// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/dispatch"
)

func tell(id uint64, m *spanwirev1.ServerSideEmit) *spanwirev1.Action {
	return command(&spanwirev1.Command{Id: id, Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: m}})
}

// A message reaches another instance as a dispatch without a socket, and its ack the sender, who
// may go on meanwhile.
func TestServer_ServerSideEmit(t *testing.T) {
	h := newHouse(t, Options{}, dispatch.Options{})
	sender := h.attach(func(r *spanwirev1.Register) { r.Registrations[0].Messages = []string{"*"} })
	other := h.attach(func(r *spanwirev1.Register) {
		r.Service, r.InstanceId = "other", "other-1"
		r.Registrations[0].Messages = []string{"news"}
	})
	h.connect("socket1")
	event := &spanwirev1.Event{Name: "news", Args: []byte(` [1] `)}
	sender.act(tell(7, &spanwirev1.ServerSideEmit{Event: event, WantAcks: true}),
		emit(8, "socket1", "meanwhile", `[]`))
	d := other.dispatches(1)[0]
	m := d.GetMessage()
	if m.GetEvent().GetName() != "news" || string(m.GetEvent().GetArgs()) != "[1]" || m.GetService() != "chat" || m.GetInstanceId() != "chat-1" ||
		!d.GetWantsAck() || d.GetSocketId() != "" || d.GetIntroduction() != nil {
		t.Errorf("dispatch %v", d)
	}
	if a := sender.answer(); a.GetId() != 8 {
		t.Errorf("first answer %v", a)
	}
	other.act(acked(d.GetId(), `["ok"]`))
	a := sender.answer()
	if acks := a.GetInstanceAcks(); a.GetId() != 7 || len(acks) != 1 || acks[0].GetService() != "other" || acks[0].GetInstanceId() != "other-1" ||
		string(acks[0].GetAck().GetArgs()) != `["ok"]` || a.GetMissing() != 0 || a.GetFault() != nil {
		t.Errorf("answer %v", a)
	}
	sender.act(tell(9, &spanwirev1.ServerSideEmit{Event: event, WantAcks: true}))
	other.dispatches(1)
	other.cancel()
	if a := sender.answer(); a.GetMissing() != 1 || len(a.GetInstanceAcks()) != 0 {
		t.Errorf("after it left: %v", a)
	}
	for _, bad := range []*spanwirev1.ServerSideEmit{
		{}, {Event: &spanwirev1.Event{Name: "connect"}}, {Event: &spanwirev1.Event{Name: "x", Args: []byte(`{}`)}},
		{Event: event, Namespace: "x"},
	} {
		sender.act(tell(10, bad))
		if a := sender.answer(); a.GetFault().GetCode() != spanwirev1.FaultCode_FAULT_CODE_INVALID {
			t.Errorf("%v gave %v", bad, a)
		}
	}
}
