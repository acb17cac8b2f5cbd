// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"slices"
	"strings"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/access"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// ListServices implements spanwire.v1.EmitterService.
func (s *Server) ListServices(ctx context.Context, _ *spanwirev1.ListServicesRequest) (*spanwirev1.ListServicesResponse, error) {
	if err := callerIn(ctx).Everywhere(access.Query); err != nil {
		s.metrics.Denied.Inc()
		return nil, grpcError(err)
	}
	elsewhere := s.o.Whereabouts()
	r := &spanwirev1.ListServicesResponse{Replica: string(s.o.Replica), Topology: s.topology()}
	for _, v := range s.dispatcher.Survey() {
		service := &spanwirev1.ServiceInfo{Service: string(v.Service), WaitingSockets: uint32(v.Waiting)}
		for i := range v.Declared {
			service.Registrations = append(service.Registrations, registrationInfo(&v.Declared[i]))
		}
		for i := range v.Instances {
			x := &v.Instances[i]
			service.Instances = append(service.Instances, s.instanceInfo(x, elsewhere[x.Register.Instance]))
		}
		r.Services = append(r.Services, service)
	}
	return r, nil
}

func (s *Server) instanceInfo(x *dispatch.InstanceSurvey, elsewhere []sio.ReplicaID) *spanwirev1.InstanceInfo {
	replicas := stringsOf(elsewhere)
	if x.Distance == dispatch.Local {
		replicas = append(replicas, string(s.o.Replica))
	}
	slices.Sort(replicas)
	return &spanwirev1.InstanceInfo{
		InstanceId: string(x.Register.Instance), Sdk: strings.TrimSpace(x.Register.SDKName + " " + x.Register.SDKVersion), Replicas: replicas,
		Window: uint32(x.Window), Open: uint32(x.Open), Sockets: uint32(x.Sockets), WaitingSockets: uint32(x.Waiting), Draining: x.Draining,
	}
}

func registrationInfo(r *sio.Registration) *spanwirev1.Registration {
	return &spanwirev1.Registration{
		Namespace: string(r.Namespace), Pattern: r.Pattern, Events: r.Events, CatchAll: r.CatchAll, Connect: r.Connect,
		ConnectOrder: uint32(r.ConnectOrder), Disconnect: r.Disconnect, RoomEvents: r.RoomEvents, Messages: r.Messages,
	}
}
