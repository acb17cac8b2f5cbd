// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/certs"
)

// newServices makes the gRPC server of the handlers' entry point, with health and reflection on.
func newServices(s *certs.Store, h *handshakes, first *firstBytes, options []grpc.ServerOption, register func(*grpc.Server)) (*grpc.Server, *health.Server) {
	secrecy := insecure.NewCredentials()
	if s != nil {
		secrecy = credentials.NewTLS(s.Config())
	}
	options = append(options, grpc.Creds(watchedCredentials{secrecy, h, first}))
	server := grpc.NewServer(options...)
	register(server)
	state := health.NewServer()
	for _, name := range []string{"", spanwirev1.HandlerService_ServiceDesc.ServiceName, spanwirev1.EmitterService_ServiceDesc.ServiceName} {
		state.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	healthv1.RegisterHealthServer(server, state)
	reflection.Register(server)
	return server, state
}
