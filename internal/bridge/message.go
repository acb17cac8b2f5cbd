// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

func instanceAcksOf(acks *sio.InstanceAcks, err error) *spanwirev1.Answer {
	a := &spanwirev1.Answer{Missing: uint32(acks.Missing), SilentReplicas: silentIn(acks.Silent, err), Fault: faultOf(err)}
	for i := range acks.Came {
		x := &acks.Came[i]
		a.InstanceAcks = append(a.InstanceAcks, &spanwirev1.InstanceAck{
			Service: string(x.Service), InstanceId: string(x.Instance), Ack: &spanwirev1.Ack{Args: x.Ack.Args, Attachments: x.Ack.Attachments},
		})
	}
	return a
}

// messageOf translates a message, or says what is wrong with it. The message keeps bytes of c.
func (s *Server) messageOf(c *spanwirev1.ServerSideEmit, sender sio.Addressee) (*sio.Message, error) {
	const op = "server-side emit"
	ns := namespaceOf(c.GetNamespace())
	if err := checkNamespace(op, ns); err != nil {
		return nil, err
	}
	event, err := eventOf(op, c.GetEvent(), s.o.MaxDepth)
	if err != nil {
		return nil, err
	}
	if event.Name == "" {
		return nil, sio.E(sio.CodeInvalid, op, "the message has no name")
	}
	m := &sio.Message{
		Namespace: ns, Event: event, WantAcks: c.GetWantAcks(), Sender: sender,
	}
	for _, name := range c.GetServices() {
		m.Services = append(m.Services, sio.ServiceName(name))
	}
	return m, nil
}

// eventOf translates an event that a service sends. Its name may be empty, as with the reference
// server.
func eventOf(op string, ev *spanwirev1.Event, depth int) (sio.Event, error) {
	switch {
	case ev == nil:
		return sio.Event{}, sio.E(sio.CodeInvalid, op, "it has no event")
	case sio.ReservedEvent(ev.GetName()):
		return sio.Event{}, sio.E(sio.CodeInvalid, op, fmt.Sprintf("the event name %q is kept by Socket.IO", ev.GetName()))
	}
	args, err := payload(ev.GetArgs(), ev.GetAttachments(), depth)
	if err != nil {
		return sio.Event{}, sio.E(sio.CodeInvalid, op, fmt.Sprintf("what is given as arguments of %q %v", clip(ev.GetName(), maxName), err))
	}
	return sio.Event{Name: ev.GetName(), Args: args, Attachments: ev.GetAttachments()}, nil
}
