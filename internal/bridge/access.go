// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/sio"
)

// porter asks whoever comes through the door who it is.
type porter struct {
	callers *auth.Callers
	// told of calls that were rejected; nil tells nobody
	rejected func(ctx context.Context, method string, err error)
}

// tell says that a call was rejected, for who made it or for what it registers.
func (p porter) tell(ctx context.Context, method string, err error) {
	code := status.Code(err)
	if p.rejected != nil && (code == codes.Unauthenticated || code == codes.PermissionDenied ||
		code == codes.InvalidArgument && method == spanwirev1.HandlerService_Attach_FullMethodName) {
		p.rejected(ctx, method, err)
	}
}

// credential is what a caller showed.
type credential struct {
	token string
	peer  *tls.ConnectionState
}

// credentialKey is where the context of a call holds what its caller showed, if callers are asked
// for that.
type credentialKey struct{}

// callerKey is where the context of a call holds the *auth.Caller.
type callerKey struct{}

func withCaller(ctx context.Context, c *auth.Caller) context.Context {
	if c == nil {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, c)
}

// callerIn gives who calls; nil may do everything.
func callerIn(ctx context.Context) *auth.Caller {
	c, _ := ctx.Value(callerKey{}).(*auth.Caller)
	return c
}

// shown gives what the caller of the context showed.
func shown(ctx context.Context) (c credential) {
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

func (p porter) admit(ctx context.Context) (context.Context, error) {
	return p.admitAs(ctx, shown(ctx))
}

func (p porter) admitAs(ctx context.Context, x credential) (context.Context, error) {
	if !p.callers.Asked() {
		return ctx, nil
	}
	caller, err := p.callers.Authenticate(x.token, x.peer)
	if err != nil {
		return nil, grpcError(err)
	}
	return context.WithValue(withCaller(ctx, caller), credentialKey{}, x), nil
}

// again asks whoever is in already, since callers may have changed.
func (p porter) again(ctx context.Context) (context.Context, error) {
	x, _ := ctx.Value(credentialKey{}).(credential)
	return p.admitAs(ctx, x)
}

func (p porter) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() { p.tell(stream.Context(), info.FullMethod, err) }()
	ctx, err := p.admit(stream.Context())
	if err != nil {
		return err
	}
	if ctx != stream.Context() {
		stream = &identified{stream, ctx}
	}
	return handler(srv, stream)
}

func (p porter) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	admitted, err := p.admit(ctx)
	if err == nil {
		answer, err = handler(admitted, req)
	}
	p.tell(ctx, info.FullMethod, err)
	return answer, err
}

// unknown answers methods that nobody serves, when the caller has been admitted.
func (porter) unknown(any, grpc.ServerStream) error {
	return status.Error(codes.Unimplemented, "this broker has no such method")
}

// identified is a stream whose caller is known.
type identified struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *identified) Context() context.Context { return s.ctx }

// asker is who commands.
type asker struct {
	credentials bool                        // may see what authenticates browsers
	sender      sio.Addressee               // zero for callers that are no instances
	caller      atomic.Pointer[auth.Caller] // replaced when the callers' file changes
}

func (s *Server) askerIn(ctx context.Context) *asker {
	a := new(asker)
	a.caller.Store(callerIn(ctx))
	return a
}

// permit tells whether the order may be carried out for who asks.
func (by *asker) permit(o *order) error {
	caller := by.caller.Load()
	switch {
	case caller == nil:
		return nil
	case o.message != nil:
		return caller.May(auth.Emit, o.message.Namespace, false)
	case o.command != nil:
		t := o.command.To()
		return caller.May(auth.Emit, t.Namespace, t.Pattern)
	}
	switch q := o.query.(type) {
	case *sio.FetchSockets:
		return caller.May(auth.Query, q.Target.Namespace, q.Target.Pattern)
	case *sio.ListRooms:
		return caller.May(auth.Query, q.Namespace, false)
	case *sio.SetData:
		return caller.May(auth.Emit, q.Namespace, false)
	}
	return caller.Everywhere(auth.Query)
}

// CallersChanged ends the streams of instances that may not attach any more.
func (s *Server) CallersChanged() {
	for _, in := range s.attached() {
		if err := in.identify(); err != nil {
			s.metrics.Unauthorized.Inc()
			in.end(grpcError(err))
		}
	}
}

// identify finds anew who the instance is, and whether it may be here.
func (in *Instance) identify() error {
	x := shown(in.stream.Context())
	caller, err := in.server.o.Callers.Authenticate(x.token, x.peer)
	if err != nil {
		return err
	}
	in.asker.caller.Store(caller)
	return caller.MayRegister(in.register.Service, *in.declared.Load())
}
