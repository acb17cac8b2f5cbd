// SPDX-License-Identifier: Apache-2.0

// Package broker is the composition root: it builds the packages from the bottom up, starts the
// listeners, and stops all in the reverse order. It also has the handlers of the HTTP listeners
// that belong to no entry point: guards, the web application, certificates.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/backplane"
	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/bridge"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/memory"
	"github.com/spanwire/spanwire/internal/mesh"
	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sessionproxy"
	"github.com/spanwire/spanwire/internal/sio"
	"github.com/spanwire/spanwire/internal/trace"
)

// Broker is one running replica.
type Broker struct {
	// fixed at birth
	config   *Config
	log      *slog.Logger
	replica  sio.ReplicaID
	started  time.Time
	registry *prometheus.Registry

	// the packages, bottom up
	bus      *nats.Backplane
	hub      *hub.Hub
	dispatch *dispatch.Dispatcher
	mesh     *mesh.Mesh
	edge     *edge.Server
	bridge   *bridge.Server

	// the listeners
	listeners listeners
	services  *grpc.Server
	health    *health.Server
	browsers  *http.Server
	operators *http.Server
	others    *http.Server // requests that other replicas forward; nil when they forward none

	forward *sessionproxy.Forwarder // nil when there can be no other replicas
	// where they took requests when this one left them
	lastPeers atomic.Pointer[map[sio.ReplicaID]string]

	secured secured
	callers *auth.Callers

	tlsMetrics      metrics.TLS
	listenerMetrics metrics.Listener

	draining atomic.Bool
	serving  sync.WaitGroup // the goroutines of servers; they end with their servers
	watching sync.WaitGroup // the goroutines that watch the other replicas and files
	unfollow func()         // ends the former
	unwatch  func()         // ends the latter
}

// keeper keeps the memory of the process, for all replicas in it.
var keeper memory.Keeper

// engineObserver counts what happens in Engine.IO, and reports to the keeper what browsers have
// taken.
type engineObserver struct{ *metrics.Engine }

// Outbound implements engineio.Observer.
func (o engineObserver) Outbound(change int) {
	o.Engine.Outbound(change)
	if change < 0 {
		keeper.Freed(-change)
	}
}

// Run serves until ctx ends, then drains for at most the setting drain-timeout. ready is called
// once all listeners are open.
func Run(ctx context.Context, c *Config, log *slog.Logger, ready func(*Broker)) error {
	memory.SetLimit(c.Run.MemoryLimit, log)
	b, err := Start(c, log)
	if err != nil {
		return err
	}
	var keeping sync.WaitGroup
	kept, release := context.WithCancel(context.Background())
	keeping.Go(func() { keeper.Run(kept) }) // ended below
	defer keeping.Wait()
	defer release()
	ready(b)
	<-ctx.Done()
	return b.Drain()
}

// Start builds a broker and opens its listeners. The configuration must be valid.
func Start(c *Config, log *slog.Logger) (*Broker, error) {
	replica := sio.NewReplicaID()
	b := &Broker{
		config:   c,
		log:      log.With("replica", replica),
		replica:  replica,
		started:  time.Now(),
		registry: metrics.NewRegistry(Version()),
	}
	b.tlsMetrics, b.listenerMetrics = metrics.NewTLS(b.registry), metrics.NewListener(b.registry)
	// Files and addresses first, so that what is missing or in use is reported at once.
	err := b.openCertificates()
	if err == nil {
		err = b.openCallers()
	}
	if err == nil {
		err = b.listeners.open(&c.Listen)
	}
	if err == nil {
		err = b.listeners.openForward(&c.Cluster)
	}
	if err == nil {
		err = b.build()
	}
	if err == nil {
		err = b.join()
	}
	if err != nil {
		b.listeners.close()
		if b.bus != nil {
			b.bus.Close()
		}
		return nil, err
	}
	for _, name := range c.Shown {
		b.log.Warn("secret given as a flag: other users of this machine can read it in the process list; use its file or its variable",
			"setting", name+"-file")
	}
	b.watchFiles()
	b.serve()
	for _, x := range [][2]string{{"browsers", b.HTTPAddress()}, {"services", b.ServiceAddress()}, {"operators", b.OperatorAddress()}} {
		b.log.Info("listening", "listener", x[0], "address", x[1])
	}
	b.log.Info("ready", "version", Version(), "cluster", c.Cluster.NATS.Cluster)
	return b, nil
}

// build makes the packages' servers, each from those below it.
func (b *Broker) build() (err error) {
	c := b.config
	backplaneMetrics := metrics.NewBackplane(b.registry)
	if b.bus, err = nats.New(b.busOptions(), backplaneMetrics, b.log); err != nil {
		return fmt.Errorf("cannot reach the other replicas (settings nats-url, nats-listen): %w", err)
	}
	secret := b.envelopeSecret()
	publisher := backplane.NewPublisher(b.bus, b.replica, secret, c.Cluster.NATS.MaxEnvelope, backplaneMetrics)
	inbox := backplane.NewInbox(b.replica, secret, backplaneMetrics, b.log)
	board := trace.New(c.Trace, metrics.NewTrace(b.registry))
	b.hub = hub.NewWithJournal(b.replica, publisher, c.journalOptions(), metrics.NewHub(b.registry)).WithTap(board)
	toInstances := b.dispatchOptions()
	toInstances.Others, toInstances.Tap = publisher, board
	toInstances.Connected = func() bool { return b.bus.Healthy() == nil }
	b.dispatch = dispatch.New(toInstances, metrics.NewDispatch(b.registry), b.log)
	remember := b.idempotencyOptions()
	remember.Others = publisher
	calls := idempotency.New(remember, metrics.NewIdempotency(b.registry))
	toReplicas := b.meshOptions()
	toReplicas.Calls = calls
	b.mesh = mesh.New(toReplicas, b.bus, publisher, inbox, b.hub, mesh.ForDispatcher(b.dispatch), metrics.NewMesh(b.registry), b.log)
	toBrowsers := b.edgeOptions()
	toBrowsers.Tap = board
	b.edge = edge.New(toBrowsers, b.hub, b.dispatch, metrics.NewEdge(b.registry), engineObserver{metrics.NewEngine(b.registry)}, b.log)
	options := b.bridgeOptions()
	options.Calls, options.Board = calls, board
	bridgeMetrics := metrics.NewBridge(b.registry)
	b.callers.Unknown = bridgeMetrics.Unauthenticated.Inc
	b.bridge = bridge.New(options, b.dispatch, b.hub, bridgeMetrics, b.log)
	b.services, b.health = newServices(b.secured.services, b.handshakes("services"), b.firstBytes("services", nil, b.wrongAtServices()), options.ServerOptions(), b.bridge.Register)
	proxies, err := c.Listen.Proxies()
	if err != nil {
		return err
	}
	app, err := b.newUpstream(proxies)
	if err != nil {
		return err
	}
	b.browsers = b.newHTTPServer("browsers", b.guard("browsers").hosts(c.Listen.AllowedHosts, proxies,
		route(c.Edge.Engine.Paths, b.forwarding(b.edge), b.guard("browsers").upgrades(app))))
	b.operators = b.newHTTPServer("operators", b.newOperators())
	return nil
}

// join makes this replica a member of the cluster. From then on its instances are notified of the
// others.
func (b *Broker) join() error {
	if err := b.mesh.Start(); err != nil {
		return fmt.Errorf("cannot join the cluster: %w", err)
	}
	changes, unwatch := b.mesh.Watch()
	quit := make(chan struct{})
	b.unfollow = func() {
		close(quit)
		unwatch()
	}
	b.watching.Go(func() { // ended by unfollow
		for {
			select {
			case <-changes:
				b.bridge.TopologyChanged()
			case <-quit:
				return
			}
		}
	})
	return nil
}

// The parts of a drain, from its beginning: for settleShare sessions wait for answers of handlers,
// and until sessionShare browsers fetch them; the rest is for handlers, which get the disconnects.
// Polling browsers that went away silently use all of sessionShare.
const (
	settleShare  = 0.6
	sessionShare = 0.75
)

func share(part float64, whole time.Duration) time.Duration {
	return time.Duration(part * float64(whole))
}

// Drain stops the replica within the setting drain-timeout, in the reverse order of the start: it
// becomes unready, closes the sessions, lets the handlers finish, leaves the cluster, and closes
// the listeners. The browsers' listener stays open until then, because polling browsers fetch their
// last packets there. It is called once. The error says that handlers had not finished.
func (b *Broker) Drain() error {
	b.draining.Store(true)
	b.health.Shutdown()
	limit := b.config.Run.DrainTimeout
	b.log.Info("draining", "limit", limit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()

	sessions, cancelSessions := context.WithTimeout(ctx, share(sessionShare, limit))
	defer cancelSessions()
	leave := b.drainForwards(sessions)
	// handlers turn to other replicas, and still get the disconnects of this one
	b.bridge.Announce()
	if err := b.edge.Drain(sessions); err != nil {
		b.log.Warn("sessions closed before their browsers fetched the last packets", "setting", "drain-timeout", "err", err)
	}
	err := b.bridge.Drain(ctx)
	b.unfollow()
	b.unwatch()
	b.watching.Wait()
	leave()
	b.mesh.Stop()
	b.dispatch.Close()
	b.services.Stop()
	b.bus.Close()
	for listener, server := range map[string]*http.Server{"browsers": b.browsers, "operators": b.operators, "replicas": b.others} {
		if server == nil {
			continue
		}
		if err := shutdown(ctx, server); err != nil {
			b.log.Warn("requests closed before their answers", "listener", listener, "setting", "drain-timeout", "err", err)
		}
	}
	b.closeForwards()
	b.serving.Wait()
	b.log.Info("stopped")
	if err != nil {
		return fmt.Errorf("handlers had not finished after %v (setting drain-timeout): %w", limit, err)
	}
	return nil
}

func (b *Broker) ready() error {
	if b.draining.Load() {
		return errors.New("this replica is draining")
	}
	return b.bus.Healthy()
}
