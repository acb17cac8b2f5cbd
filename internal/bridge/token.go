// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// tokens are the bearer tokens that open the door; none means that it stands open.
type tokens []string

func (t tokens) check(ctx context.Context) error {
	if len(t) == 0 {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		shown, ok := strings.CutPrefix(v, "Bearer ")
		for _, known := range t {
			if ok && subtle.ConstantTimeCompare([]byte(shown), []byte(known)) == 1 {
				return nil
			}
		}
	}
	return status.Error(codes.Unauthenticated, "the metadata `authorization` must be \"Bearer \" and a token of the setting service-tokens")
}

func (t tokens) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := t.check(stream.Context()); err != nil {
		return err
	}
	return handler(srv, stream)
}

func (t tokens) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}
