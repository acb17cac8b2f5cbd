// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"encoding/hex"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/sio"
)

// What replicas ask each other about idempotency keys travels as a query for sockets in a namespace that no socket can be in: its name has
// no slash. So a replica of an older version understands the question, and answers at once that it knows nothing, rather than be silent.

const (
	callNamespace = "idempotency"
	callPrefix    = "call:" // of what stands in the place of a socket's id; no id has a colon
)

func findCallToWire(q *sio.FindCall) *spanwirev1.FetchSockets {
	return &spanwirev1.FetchSockets{Target: &spanwirev1.Target{Namespace: callNamespace, Rooms: []string{q.Key.Caller, q.Key.Key}}, Limit: 1}
}

func findCallFromWire(m *spanwirev1.FetchSockets) *sio.FindCall {
	q := new(sio.FindCall)
	if r := m.GetTarget().GetRooms(); len(r) == 2 {
		q.Key = sio.CallKey{Caller: r[0], Key: r[1]}
	}
	return q
}

func callToWire(c *sio.Call) *spanwirev1.SocketInfo {
	return &spanwirev1.SocketInfo{
		SocketId: callPrefix + hex.EncodeToString(c.Request[:]), Data: c.Answer, DataVersion: uint64(c.State), Replica: string(c.Replica),
	}
}

func callFromWire(m *spanwirev1.SocketInfo, digest string) sio.Call {
	c := sio.Call{Replica: sio.ReplicaID(m.GetReplica()), State: sio.CallState(m.GetDataVersion()), Answer: m.GetData()}
	if b, err := hex.DecodeString(digest); err == nil && len(b) == len(c.Request) {
		copy(c.Request[:], b)
	}
	return c
}
