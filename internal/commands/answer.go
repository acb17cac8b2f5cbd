// SPDX-License-Identifier: Apache-2.0

package commands

import (
	"fmt"
	"slices"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/sio"
)

// What came of a request, as the contract's Answer. Nothing is decided here.

func acksToProto(sockets int, acks sio.Acks, err error) *spanwirev1.Answer {
	return &spanwirev1.Answer{
		Sockets: uint32(sockets), Dropped: uint32(acks.Dropped), Acks: contract.SocketAcksToProto(acks.Came), Missing: uint32(acks.Missing),
		SilentReplicas: silentReplicas(acks.Silent, err), Fault: FaultFromError(err),
	}
}

func instanceAcksToProto(acks *sio.InstanceAcks, err error) *spanwirev1.Answer {
	return &spanwirev1.Answer{
		Missing: uint32(acks.Missing), SilentReplicas: silentReplicas(acks.Silent, err), Fault: FaultFromError(err),
		InstanceAcks: contract.InstanceAcksToProto(acks.Came),
	}
}

// silentReplicas names the replicas that did not answer, and those that err says may not have been
// reached.
func silentReplicas(silent []sio.ReplicaID, err error) []string {
	all := append(contract.ToStrings(silent), contract.ToStrings(sio.UnreachedIn(err))...)
	slices.Sort(all)
	return slices.Compact(all)
}

func foundToProto(q sio.Query, f *sio.Found, err error) *spanwirev1.Answer {
	a := &spanwirev1.Answer{
		Sockets: uint32(f.Reached), Truncated: f.Truncated, SilentReplicas: silentReplicas(f.Silent, err), Fault: FaultFromError(err),
	}
	switch q := q.(type) {
	case *sio.FetchSockets:
		for i := range f.Sockets {
			a.Found = append(a.Found, contract.SocketToProto(&f.Sockets[i], contract.Credentials(q.Credentials)))
		}
	case *sio.ListRooms:
		a.Rooms = contract.RoomsToProto(f.Rooms)
	case *sio.SetData:
		dataToProto(a, q, f, err)
	}
	return a
}

func dataToProto(a *spanwirev1.Answer, q *sio.SetData, f *sio.Found, err error) {
	const op = "set data"
	switch {
	case f.Set != nil && f.Conflict:
		a.DataVersion, a.Data = f.Set.Version, f.Set.Value
		a.Fault = &spanwirev1.Fault{
			Code:    spanwirev1.FaultCode_FAULT_CODE_CONFLICT,
			Message: fmt.Sprintf("%s: the data has version %d, not %d", op, f.Set.Version, q.IfVersion),
		}
	case f.Set != nil:
		a.DataVersion = f.Set.Version
	case err == nil:
		a.Fault = FaultFromError(sio.E(sio.CodeNotFound, op, "the socket is not connected (any more)"))
	}
}
