// SPDX-License-Identifier: Apache-2.0

// Package commands carries out what may be asked of the broker: emits, changes of rooms,
// disconnects, queries, data of sockets and messages between instances. Instances ask on their
// streams, other programs by unary gRPC and by HTTP. All three pass through one Executor, which
// checks, authorizes and executes; they differ only in where they wait for the answer.
package commands

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/jsonscan"
	"github.com/spanwire/spanwire/internal/loglimit"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// Options bounds what one command may ask. Zero fields take their defaults.
type Options struct {
	// AckTimeout is how long an emit waits for acks when it names no time. Default 10 s.
	AckTimeout time.Duration
	// QueryTimeout is how long a query waits for other replicas when it names no time. Default 5 s.
	QueryTimeout time.Duration
	// MaxQueryResults bounds the sockets or rooms in the answer to a query. Default 10,000.
	MaxQueryResults int
	// MaxSocketData bounds the data kept with one socket, in bytes. Default 64 KiB.
	MaxSocketData int
	// MaxDepth bounds the nesting of the JSON that services send. Default 512.
	MaxDepth int
	// AllowSocketIDRooms lets sockets join rooms that have the form of another socket's id.
	AllowSocketIDRooms bool
}

// WithDefaults fills the fields that are zero.
func (o Options) WithDefaults() Options {
	config.Complete(o.Settings())
	o.MaxDepth = cmp.Or(o.MaxDepth, jsonscan.DefaultDepth)
	return o
}

// Hub executes commands on sockets and answers queries. *hub.Hub implements it; its methods may be
// called from several goroutines at a time.
type Hub interface {
	// Execute carries a command out here, and publishes it to the other replicas.
	Execute(cmd sio.Command) (sockets int, err error)
	// AskEveryone emits and collects acks of all replicas until ctx ends.
	AskEveryone(ctx context.Context, e *sio.Emit) (sockets int, collect func() (sio.Acks, error))
	// CountEveryone emits and counts the sockets of all replicas until ctx ends.
	CountEveryone(ctx context.Context, e *sio.Emit) (collect func() (sio.Acks, error), waits bool)
	// Query asks all replicas that can know, until ctx ends.
	Query(ctx context.Context, q sio.Query) (collect func() (sio.Found, error), waits bool)
	// Others counts the replicas beside this one to which a command with the target goes.
	Others(t *sio.Target) int
}

// Dispatcher sends messages to instances. *dispatch.Dispatcher implements it.
type Dispatcher interface {
	// Tell sends a message, and collects the acks of instances until ctx ends.
	Tell(ctx context.Context, m *sio.Message) (collect func() (sio.InstanceAcks, error))
}

// Executor carries commands out. Its methods may be called from several goroutines at a time.
type Executor struct {
	o          Options
	hub        Hub
	dispatcher Dispatcher
	calls      *idempotency.Calls
	metrics    *metrics.Bridge
	log        *slog.Logger
	life       context.Context // ends with the replica, and with it calls whose callers have left

	socketIDRooms loglimit.Limiter
}

// New makes an Executor. Calls with idempotency keys end when life does, even if their callers have
// left.
func New(life context.Context, o Options, h Hub, d Dispatcher, c *idempotency.Calls, m *metrics.Bridge, log *slog.Logger) *Executor {
	return &Executor{o: o.WithDefaults(), hub: h, dispatcher: d, calls: c, metrics: m, log: log, life: life}
}
