// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/commands"
	"github.com/spanwire/spanwire/internal/contract"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/sio"
)

// ListServices implements spanwire.v1.EmitterService.
func (s *Server) ListServices(ctx context.Context, _ *spanwirev1.ListServicesRequest) (*spanwirev1.ListServicesResponse, error) {
	if err := callerFromContext(ctx).Everywhere(auth.Query); err != nil {
		s.metrics.Unauthorized.Inc()
		return nil, commands.GRPCError(err)
	}
	elsewhere := s.o.Whereabouts()
	r := &spanwirev1.ListServicesResponse{Replica: string(s.o.Replica), Topology: s.topology()}
	for _, v := range s.dispatcher.Load() {
		service := &spanwirev1.ServiceInfo{Service: string(v.Service), WaitingSockets: uint32(v.Waiting), HeldConnects: uint32(v.Held)}
		service.WaitingEvents, service.UnreadSockets = uint32(v.Queued), uint32(v.Unread)
		if !v.Absent.IsZero() {
			service.AbsentSinceMs = v.Absent.UnixMilli()
		}
		service.Registrations = contract.RegistrationsToProto(v.Declared)
		for i := range v.Instances {
			x := &v.Instances[i]
			service.Instances = append(service.Instances, s.instanceInfo(x, elsewhere[x.Register.Instance]))
		}
		r.Services = append(r.Services, service)
	}
	s.addAbsent(ctx, r)
	return r, nil
}

// absentTimeout bounds the wait for what other replicas hold: a list should come soon, also when
// one of them hangs.
const absentTimeout = 2 * time.Second

// addAbsent adds what absent services hold on the other replicas.
func (s *Server) addAbsent(ctx context.Context, r *spanwirev1.ListServicesResponse) {
	ctx, cancel := context.WithTimeout(ctx, absentTimeout)
	defer cancel()
	all, silent := s.dispatcher.AbsentElsewhere(ctx)
	r.SilentReplicas = contract.ToStrings(silent)
	for _, x := range all {
		i := slices.IndexFunc(r.GetServices(), func(known *spanwirev1.ServiceInfo) bool { return known.GetService() == string(x.Service) })
		if i < 0 {
			i = len(r.GetServices())
			r.Services = append(r.Services, &spanwirev1.ServiceInfo{Service: string(x.Service), AbsentSinceMs: x.Since.UnixMilli()})
		}
		r.Services[i].HeldConnects += uint32(x.Held)
	}
	slices.SortFunc(r.GetServices(), func(a, b *spanwirev1.ServiceInfo) int { return strings.Compare(a.GetService(), b.GetService()) })
}

// RetireService implements spanwire.v1.EmitterService.
func (s *Server) RetireService(ctx context.Context, m *spanwirev1.RetireServiceRequest) (*spanwirev1.RetireServiceResponse, error) {
	name := sio.ServiceName(m.GetService())
	if name == "" {
		return nil, status.Error(codes.InvalidArgument, "retire: it names no service")
	}
	caller := callerFromContext(ctx)
	if err := caller.MayRetire(name); err != nil {
		s.metrics.Unauthorized.Inc()
		return nil, commands.GRPCError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Commands.QueryTimeout)
	defer cancel()
	r, silent, err := s.dispatcher.RetireEverywhere(ctx, name)
	switch {
	case sio.CodeOf(err) == sio.CodeConflict:
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	case err != nil:
		return nil, commands.GRPCError(err)
	}
	s.log.Info("service retired in the cluster by a call", "service", name, "caller", caller.Name(), "connects", r.Connects, "dispatches", r.Dropped,
		"peer", strings.Join(contract.ToStrings(silent), ", "))
	return &spanwirev1.RetireServiceResponse{
		Connects: uint32(r.Connects), Dropped: uint32(r.Dropped), SilentReplicas: contract.ToStrings(silent),
	}, nil
}

// retireElsewhere tells the other replicas that a service has left with the instance.
func (s *Server) retireElsewhere(in *Instance) {
	ctx, cancel := context.WithTimeout(s.life, s.o.Commands.QueryTimeout)
	finish := s.dispatcher.RetireElsewhere(ctx, in.register.Service, in.register.Instance)
	s.running.Add(1)
	go func() { // ends when the others have answered, after the timeout, or with the replica
		defer s.running.Done()
		defer cancel()
		finish()
	}()
}

func (s *Server) instanceInfo(x *dispatch.InstanceLoad, elsewhere []sio.ReplicaID) *spanwirev1.InstanceInfo {
	replicas := contract.ToStrings(elsewhere)
	if x.Distance == dispatch.Local {
		replicas = append(replicas, string(s.o.Replica))
	}
	slices.Sort(replicas)
	return &spanwirev1.InstanceInfo{
		InstanceId: string(x.Register.Instance), Sdk: strings.TrimSpace(x.Register.SDKName + " " + x.Register.SDKVersion), Replicas: replicas,
		Window: uint32(x.Window), Open: uint32(x.Open), Sockets: uint32(x.Sockets), WaitingSockets: uint32(x.Waiting), Draining: x.Draining,
		WaitingEvents: uint32(x.Queued), UnreadSockets: uint32(x.Unread),
	}
}
