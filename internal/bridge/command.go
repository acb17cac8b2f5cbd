// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/contract"
)

// command carries out a command of the instance. An error ends the stream; an invalid command does
// not.
func (in *Instance) command(data []byte) error {
	var m spanwirev1.Command
	if err := proto.Unmarshal(data, &m); err != nil {
		return err
	}
	in.server.metrics.Commands.Inc()
	r, err := in.server.commands.Begin(&m, &in.caller)
	switch {
	case err != nil:
		if commands.IsUnknown(err) {
			in.server.metrics.Unknown.Inc()
		}
		in.conclude(&m, &spanwirev1.Answer{Fault: commands.FaultFromError(err)})
	case r.Waits():
		in.await(&m, &r)
	default:
		in.conclude(&m, in.server.commands.Now(&r))
	}
	return nil
}

// await carries the request out, and collects the answer without holding up what the instance sends
// next, unless the answer is there already.
func (in *Instance) await(m *spanwirev1.Command, r *commands.Request) {
	select {
	case in.ackWaits <- struct{}{}:
	default:
		in.conclude(m, &spanwirev1.Answer{Fault: &spanwirev1.Fault{
			Code:    spanwirev1.FaultCode_FAULT_CODE_TOO_LARGE,
			Message: fmt.Sprintf("%d commands of this instance wait for answers already (setting max-ack-waits)", cap(in.ackWaits)),
		}})
		return
	}
	ctx, cancel := context.WithTimeout(in.ctx, r.Timeout())
	end := func() {
		cancel()
		<-in.ackWaits
	}
	collect, waits := in.server.commands.Start(ctx, r)
	var parts [][]byte
	if !waits {
		if parts = in.answerParts(m, collect()); in.answerAtOnce(parts) {
			end()
			return
		}
	}
	in.server.running.Add(1)
	// ends when the answer is queued, or with the stream; collecting ends with the timeout
	go func() {
		defer in.server.running.Done()
		defer end()
		if waits {
			parts = in.answerParts(m, collect())
		}
		in.answerPatiently(parts)
	}()
}

// conclude answers a command, or reports and counts its fault when no answer is wanted.
func (in *Instance) conclude(m *spanwirev1.Command, a *spanwirev1.Answer) {
	if m.GetId() != 0 {
		a.Id = m.GetId()
		in.answer(a)
		return
	}
	if a.GetFault().GetCode() == spanwirev1.FaultCode_FAULT_CODE_BACKPLANE_UNAVAILABLE {
		in.partial(a.GetFault())
	} else if a.GetFault() != nil {
		in.rejected(m, a.GetFault())
	}
}

// rejected reports the fault of a command whose sender waits for no answer, with what it takes to
// find the command in the sender's code.
func (in *Instance) rejected(m *spanwirev1.Command, f *spanwirev1.Fault) {
	ns, event := commandTarget(m).GetNamespace(), m.GetEmit().GetEvent().GetName()
	if message := m.GetServerSideEmit(); message != nil {
		ns, event = message.GetNamespace(), message.GetEvent().GetName()
	}
	in.reportFault(&spanwirev1.Fault{
		Code: f.GetCode(), Message: f.GetMessage(), Event: contract.Clip(event, contract.MaxName), Namespace: contract.Clip(string(contract.NamespaceFromProto(ns)), contract.MaxName),
		Bytes: uint32(proto.Size(m)),
	})
}

// commandTarget is the target of a command; nil for one that has none.
func commandTarget(m *spanwirev1.Command) *spanwirev1.Target {
	switch c := m.GetCommand().(type) {
	case *spanwirev1.Command_Emit:
		return c.Emit.GetTarget()
	case *spanwirev1.Command_Join:
		return c.Join.GetTarget()
	case *spanwirev1.Command_Leave:
		return c.Leave.GetTarget()
	case *spanwirev1.Command_Disconnect:
		return c.Disconnect.GetTarget()
	}
	return nil
}

// faultName is the code of a fault in the form of label values and logs: "not_found".
func faultName(c spanwirev1.FaultCode) string {
	return strings.ToLower(strings.TrimPrefix(c.String(), "FAULT_CODE_"))
}
