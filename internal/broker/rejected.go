// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/spanwire/spanwire/internal/loglimit"
)

// rejections says which calls of handlers, emitters and commands were rejected, a line a second for
// each reason. What callers show is in none of them.
type rejections struct {
	log   *slog.Logger
	quiet loglimit.ByReason
}

func (b *Broker) rejections() *rejections {
	return &rejections{log: b.log, quiet: loglimit.ByReason{PerSecond: 1}}
}

// rejected is called for each call that was rejected for who made it, or for what it registers.
func (r *rejections) rejected(ctx context.Context, method string, err error) {
	reason, setting := "invalid", ""
	switch status.Code(err) {
	case codes.Unauthenticated:
		reason, setting = "unauthenticated", "service-tokens, service-callers"
	case codes.PermissionDenied:
		reason, setting = "denied", "service-callers"
	}
	ok, suppressed := r.quiet.Allow(reason)
	if !ok {
		return
	}
	args := []any{"reason", reason, "method", loglimit.Cut(method), "err", loglimit.Cut(status.Convert(err).Message())}
	if p, ok := peer.FromContext(ctx); ok {
		args = append(args, "address", p.Addr.String())
	}
	if setting != "" {
		args = append(args, "setting", setting)
	}
	r.log.Warn("call rejected", append(args, "suppressed", suppressed)...)
}
