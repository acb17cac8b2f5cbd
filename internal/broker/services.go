// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/config"
)

// newServices makes the gRPC server of the handlers' door, with health and reflection on.
func newServices(c *config.Listen, options []grpc.ServerOption, register func(*grpc.Server)) (*grpc.Server, *health.Server, error) {
	if c.ServiceTLSCert != "" {
		creds, err := credentials.NewServerTLSFromFile(c.ServiceTLSCert, c.ServiceTLSKey)
		if err != nil {
			return nil, nil, fmt.Errorf("settings service-tls-cert and service-tls-key: %w", err)
		}
		options = append(options, grpc.Creds(creds))
	}
	server := grpc.NewServer(options...)
	register(server)
	h := health.NewServer()
	for _, name := range []string{"", spanwirev1.HandlerService_ServiceDesc.ServiceName, spanwirev1.EmitterService_ServiceDesc.ServiceName} {
		h.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	healthv1.RegisterHealthServer(server, h)
	reflection.Register(server)
	return server, h, nil
}
