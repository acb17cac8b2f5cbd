// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"crypto/tls"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/commands"
)

// Who calls. gRPC runs these interceptors before each method; a request to the HTTP API becomes a
// call, and passes them too. They put the auth.Caller into the context. What that caller may do is
// for package commands, and for Attach and Tail themselves.

// authInterceptor authenticates gRPC calls, and HTTP requests that become calls.
type authInterceptor struct {
	callers *auth.Callers
	// rejected is called for each call that was rejected; nil for none
	rejected func(ctx context.Context, method string, err error)
}

// report passes on that a call was rejected, for its caller or for what it registers.
func (p authInterceptor) report(ctx context.Context, method string, err error) {
	code := status.Code(err)
	if p.rejected != nil && (code == codes.Unauthenticated || code == codes.PermissionDenied ||
		code == codes.InvalidArgument && method == spanwirev1.HandlerService_Attach_FullMethodName) {
		p.rejected(ctx, method, err)
	}
}

// credential is what a caller presented.
type credential struct {
	token string
	peer  *tls.ConnectionState
}

// credentialKey is the key of a call's credential in its context, if callers must authenticate.
type credentialKey struct{}

// callerKey is the key of a call's *auth.Caller in its context.
type callerKey struct{}

func withCaller(ctx context.Context, c *auth.Caller) context.Context {
	if c == nil {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, c)
}

// callerFromContext returns the caller; nil may do everything.
func callerFromContext(ctx context.Context) *auth.Caller {
	c, _ := ctx.Value(callerKey{}).(*auth.Caller)
	return c
}

// credentialFromContext returns what the caller presented.
func credentialFromContext(ctx context.Context) (c credential) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if token, ok := strings.CutPrefix(v, "Bearer "); ok {
			c.token = token
		}
	}
	if p, ok := grpcpeer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			c.peer = &info.State
		}
	}
	return c
}

func (p authInterceptor) authenticate(ctx context.Context) (context.Context, error) {
	return p.authenticateAs(ctx, credentialFromContext(ctx))
}

func (p authInterceptor) authenticateAs(ctx context.Context, x credential) (context.Context, error) {
	if !p.callers.Asked() {
		return ctx, nil
	}
	caller, err := p.callers.Authenticate(x.token, x.peer)
	if err != nil {
		return nil, commands.GRPCError(err)
	}
	return context.WithValue(withCaller(ctx, caller), credentialKey{}, x), nil
}

// reauthenticate authenticates a call that goes on, since the file of callers may have changed.
func (p authInterceptor) reauthenticate(ctx context.Context) (context.Context, error) {
	x, _ := ctx.Value(credentialKey{}).(credential)
	return p.authenticateAs(ctx, x)
}

func (p authInterceptor) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() { p.report(stream.Context(), info.FullMethod, err) }()
	ctx, err := p.authenticate(stream.Context())
	if err != nil {
		return err
	}
	if ctx != stream.Context() {
		stream = &identified{stream, ctx}
	}
	return handler(srv, stream)
}

func (p authInterceptor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	authenticated, err := p.authenticate(ctx)
	if err == nil {
		answer, err = handler(authenticated, req)
	}
	p.report(ctx, info.FullMethod, err)
	return answer, err
}

// unknown answers methods that this broker does not have, to callers that are authenticated.
func (authInterceptor) unknown(any, grpc.ServerStream) error {
	return status.Error(codes.Unimplemented, "this broker has no such method")
}

// identified is a stream whose caller is known.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *identified) Context() context.Context { return s.ctx }

// CallersChanged ends the streams of instances that may no longer attach.
func (s *Server) CallersChanged() {
	for _, in := range s.attached() {
		if err := in.identify(); err != nil {
			s.metrics.Unauthorized.Inc()
			in.end(commands.GRPCError(err))
		}
	}
}

// identify authenticates and authorizes the instance, by the callers that are known now.
func (in *Instance) identify() error {
	x := credentialFromContext(in.stream.Context())
	caller, err := in.server.o.Callers.Authenticate(x.token, x.peer)
	if err != nil {
		return err
	}
	in.caller.Identify(caller)
	return caller.MayRegister(in.register.Service, *in.declared.Load())
}
