// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// Service is one instance of a named kind of handler. Instances with the same name share the events
// of the service. Methods that Namespace has too address the main namespace, "/".
type Service struct {
	// fixed at birth
	name    string
	options Options
	stats   stats
	over    chan struct{} // closed when Run no longer attaches

	incoming listeners[func(*Event)]
	outgoing listeners[func(t Target, event string, args []any)]

	// written by Run before anything else runs
	scheduler *scheduler

	// Written under mu, and while Run runs also under the scheduler's mu, which is locked second.
	// Read under either.
	namespaces map[string]*Namespace
	patterns   []*Namespace

	mu      sync.Mutex // guards what follows
	misuses []error    // returned by Run, or by Registered while Run runs
	declarations
	running bool
	links   []*link
	linkCtx context.Context // of links; its end starts the drain
	linked  sync.WaitGroup
	fatal   chan error
	// closed and replaced when a link attaches or detaches, and when a declaration changes
	changed chan struct{}
}

// NewService creates a service. Its name has 1 to 128 letters, digits, "-", "_" and ".".
func NewService(name string, options Options) *Service {
	return &Service{
		name:       name,
		options:    options.withDefaults(),
		namespaces: map[string]*Namespace{},
		fatal:      make(chan error, 1),
		changed:    make(chan struct{}),
		over:       make(chan struct{}),
	}
}

// Namespace returns the namespace with the name; the leading slash is optional. The broker learns
// about it when a handler is registered in it.
func (svc *Service) Namespace(name string) *Namespace {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	svc.mu.Lock()
	defer svc.mu.Unlock()
	n := svc.namespaces[name]
	if n == nil {
		n = newNamespace(svc, name)
		if !svc.running { // while Run runs, only namespaces with handlers are kept
			svc.namespaces[name] = n
		}
	}
	return n
}

// On registers a handler for an event of the main namespace; see Namespace.On.
func (svc *Service) On(event string, h EventHandler, options ...HandlerOption) {
	svc.main().On(event, h, options...)
}

// OnConnect registers the handler that accepts or refuses sockets of the main namespace.
func (svc *Service) OnConnect(h ConnectHandler, options ...HandlerOption) {
	svc.main().OnConnect(h, options...)
}

// OnDisconnect registers the handler of disconnects in the main namespace.
func (svc *Service) OnDisconnect(h DisconnectHandler) { svc.main().OnDisconnect(h) }

// All returns the target of all sockets of the main namespace.
func (svc *Service) All() Target { return Target{via: svc, namespace: mainNamespace} }

// To returns the target of the sockets of the main namespace in any of the rooms. The id of a
// socket is a room too.
func (svc *Service) To(rooms ...string) Target { return svc.All().To(rooms...) }

// Except returns the target of the sockets of the main namespace in none of the rooms.
func (svc *Service) Except(rooms ...string) Target { return svc.All().Except(rooms...) }

// Emit sends an event to every socket of the main namespace.
func (svc *Service) Emit(event string, args ...any) error { return svc.All().Emit(event, args...) }

// Send sends the event "message" to every socket of the main namespace.
func (svc *Service) Send(args ...any) error { return svc.All().Send(args...) }

// EmitWithAck sends an event to every socket of the main namespace and collects their acks; see
// Target.EmitWithAck.
func (svc *Service) EmitWithAck(ctx context.Context, event string, args ...any) (*Acks, error) {
	return svc.All().EmitWithAck(ctx, event, args...)
}

// Run attaches to the broker and handles events until ctx ends. It attaches again whenever a stream
// ends, without a limit. When ctx ends, Run drains: it accepts nothing new, waits for open
// handlers, sends what is queued, and returns nil. After Options.DrainTimeout it returns
// ErrDrainTimeout.
//
// Any other error reports an invalid service; a RegistrationError if the broker found it.
//
// Use RunUntilSignal in a program of its own, and Run where the program handles signals itself.
func (svc *Service) Run(ctx context.Context) error {
	base, stop, err := svc.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	leave, cancelLeave := context.WithCancel(ctx)
	defer cancelLeave()
	svc.mu.Lock()
	svc.linkCtx = leave
	for _, address := range svc.options.addresses() {
		svc.linkLocked(&link{service: svc, address: address})
	}
	svc.mu.Unlock()

	select {
	case <-ctx.Done():
		svc.options.Logger.Info("draining", "service", svc.name, "limit", svc.options.DrainTimeout)
	case err = <-svc.fatal:
	}
	timeout := time.AfterFunc(svc.options.DrainTimeout, stop)
	defer timeout.Stop()
	if err == nil {
		svc.scheduler.declareDeadAll()
	}
	cancelLeave()
	svc.linked.Wait()
	close(svc.over)
	select {
	case <-svc.scheduler.done():
	case <-base.Done():
	}
	return errors.Join(err, svc.finish(base, stop))
}

// start checks the registrations and creates the scheduler.
func (svc *Service) start(ctx context.Context) (base context.Context, stop context.CancelFunc, err error) {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.running {
		return nil, nil, ErrRunning
	}
	if err := svc.checkLocked(); err != nil {
		return nil, nil, err
	}
	svc.running = true
	svc.bindLocked()
	base, stop = context.WithCancel(context.WithoutCancel(ctx))
	svc.scheduler = newScheduler(base, svc)
	return base, stop, nil
}

// finish cancels the context of handlers that are still running, and waits a second for them.
func (svc *Service) finish(base context.Context, stop context.CancelFunc) error {
	late := base.Err() != nil
	stop()
	svc.scheduler.close()
	ended := make(chan struct{})
	go func() { // ends with the last handler
		svc.scheduler.wait.Wait()
		close(ended)
	}()
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		late = true
	}
	if late {
		return ErrDrainTimeout
	}
	return nil
}

func (svc *Service) checkLocked() error {
	errs := svc.misuses
	if !validID(svc.name) {
		errs = append(errs, fmt.Errorf("spanwire: the service name %q is not 1 to 128 letters, digits, \"-\", \"_\" and \".\"", svc.name))
	}
	if !validID(svc.options.InstanceID) {
		errs = append(errs, fmt.Errorf("spanwire: the instance id %q is not 1 to 128 letters, digits, \"-\", \"_\" and \".\"",
			svc.options.InstanceID))
	}
	if svc.options.Window < 0 {
		errs = append(errs, fmt.Errorf("spanwire: Options.Window is %d (it cannot be negative)", svc.options.Window))
	}
	if len(svc.options.addresses()) == 0 {
		errs = append(errs, errors.New("spanwire: no broker address (set Options.Address or SPANWIRE_ADDRESS)"))
	}
	if svc.declareLocked() != nil {
		errs = append(errs, errors.New("spanwire: the service has no handlers (to emit only, use an Emitter)"))
	}
	return errors.Join(errs...)
}

// Attached waits until the service is attached to a broker. It may be called before Run.
func (svc *Service) Attached(ctx context.Context) error {
	for {
		svc.mu.Lock()
		changed := svc.changed
		svc.mu.Unlock()
		if svc.anyStream() != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-svc.over:
			return ErrBrokerUnavailable
		}
	}
}

func (svc *Service) main() *Namespace { return svc.Namespace(mainNamespace) }

// misuse keeps a registration error for Run, or for Registered while Run runs.
func (svc *Service) misuse(err error) {
	svc.mu.Lock()
	svc.misuses = append(svc.misuses, err)
	running := svc.running
	svc.mu.Unlock()
	if running {
		svc.options.Logger.Error("registration ignored", "err", err)
	}
}

// register returns the description of this instance, to which the link adds the registrations.
func (svc *Service) register() *spanwirev1.Register {
	r := &spanwirev1.Register{
		ProtocolVersion: protocolVersion,
		Service:         svc.name,
		InstanceId:      svc.options.InstanceID,
		SdkName:         sdkName,
		SdkVersion:      Version(),
		Window:          uint32(svc.options.Window),
		DeliveryMode:    spanwirev1.DeliveryMode_DELIVERY_MODE_AT_LEAST_ONCE,
		Credentials:     svc.options.Credentials,
	}
	if svc.options.Delivery == AtMostOnce {
		r.DeliveryMode = spanwirev1.DeliveryMode_DELIVERY_MODE_AT_MOST_ONCE
	}
	return r
}

// execute implements executor. It uses any stream, since the command belongs to no event.
func (svc *Service) execute(c *command) error { return svc.executeOn(nil, c) }

// executeOn queues a command on the stream, or on any other when that has ended.
func (svc *Service) executeOn(s *stream, c *command) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.target.key != "" {
		return errKey
	}
	s, err := svc.alive(context.Background(), s)
	if err != nil {
		return err
	}
	if err := s.checkRooms(c); err != nil {
		return err
	}
	if err := s.out.command(c, svc.options.EmitTimeout); err != nil {
		return err
	}
	// While a runner is busy, which may be the caller, the command is sent with its results, after
	// a millisecond at the latest.
	if svc.scheduler.busy.Load() == 0 {
		s.flush()
	}
	return nil
}

func (svc *Service) query(ctx context.Context, c *command) (*spanwirev1.Answer, error) {
	return svc.queryOn(ctx, nil, c)
}

// queryOn sends a command and waits for the answer. The answer is valid even with an error that the
// broker reported.
func (svc *Service) queryOn(ctx context.Context, s *stream, c *command) (*spanwirev1.Answer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.target.key != "" {
		return nil, errKey
	}
	s, err := svc.alive(ctx, s)
	if err != nil {
		return nil, err
	}
	a, err := s.ask(ctx, c)
	if err != nil {
		return nil, err
	}
	return a, errorFromProto(a)
}

var errKey = errors.New("spanwire: only an Emitter sends idempotency keys")

// margin is the time by which the broker stops waiting before the caller does.
func margin(timeout time.Duration) time.Duration { return min(timeout/10, ackMargin) }

func acksFromProto(list []*spanwirev1.SocketAck, sockets, missing uint32) *Acks {
	acks := &Acks{Acks: make([]Ack, len(list)), Sockets: int(sockets), Missing: int(missing)}
	for i, a := range list {
		acks.Acks[i] = Ack{SocketID: a.GetSocketId(), args: a.GetAck().GetArgs(), attachments: a.GetAck().GetAttachments()}
	}
	return acks
}

// alive returns the stream unless it has ended. It then returns any other, and waits for one.
func (svc *Service) alive(ctx context.Context, s *stream) (*stream, error) {
	if s != nil && !s.ended.Load() {
		return s, nil
	}
	if s = svc.anyStream(); s != nil {
		return s, nil
	}
	wait, cancel := context.WithTimeout(ctx, svc.options.EmitTimeout)
	defer cancel()
	if err := svc.Attached(wait); err != nil {
		return nil, cmp.Or(ctx.Err(), ErrBrokerUnavailable)
	}
	if s = svc.anyStream(); s == nil {
		return nil, ErrBrokerUnavailable
	}
	return s, nil
}

// anyStream returns an attached stream, preferably of a replica that does not drain.
func (svc *Service) anyStream() *stream {
	svc.mu.Lock()
	defer svc.mu.Unlock()
	var draining *stream
	for _, l := range svc.links {
		switch s := l.stream; {
		case s == nil || s.ended.Load():
		case s.drains.Load():
			draining = s
		default:
			return s
		}
	}
	return draining
}
