// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// A service attaches to every replica: to the configured addresses, and to those that the brokers
// announce. A link keeps the service attached to one address until the service stops. Two addresses
// may lead to one replica. A broker replaces the older stream of an instance by the newer one. The
// link of the older stream is then parked until the other link loses the replica.

// link keeps the service attached to one address. Its fields are guarded by the service's mu.
type link struct {
	// fixed at birth
	service *Service
	address string
	learned bool // announced by a broker; it ends when no broker announces it
	cancel  context.CancelFunc

	replica string // the replica of the last stream
	stream  *stream
}

var (
	errSlow = errors.New("the broker did not answer in time")
)

// linkLocked starts a link. The service's mu is held.
func (svc *Service) linkLocked(l *link) {
	ctx, cancel := context.WithCancel(svc.linkCtx)
	l.cancel = cancel
	svc.links = append(svc.links, l)
	svc.linked.Add(1)
	go func() { // ends when the service stops, or when no broker announces the replica
		defer svc.linked.Done()
		defer cancel()
		l.run(ctx)
		svc.mu.Lock()
		svc.links = slices.DeleteFunc(svc.links, func(other *link) bool { return other == l })
		svc.mu.Unlock()
	}()
}

func (l *link) run(ctx context.Context) {
	log := l.service.options.Logger.With("address", l.address)
	advisor := adviser{options: &l.service.options, address: l.address}
	for attempt := 0; ctx.Err() == nil; attempt++ {
		start := time.Now()
		attached, err := l.attach(ctx)
		if attached && time.Since(start) > l.service.options.MaxBackoff {
			attempt = 0
		}
		if ctx.Err() != nil {
			return
		}
		var refused *RegistrationError
		switch {
		case errors.Is(err, errOutdated):
			attempt = -1
			continue
		case errors.As(err, &refused) && l.service.stats.attached.Load() == 0:
			select {
			case l.service.fatal <- err:
			default: // another link has reported its error
			}
			return
		case attached:
			log.Info("stream ended; attaching again", "err", err)
		default:
			text := "attaching failed; trying again"
			if advice := advisor.about(err); advice != "" {
				text += ": " + advice
			}
			log.Warn(text, "err", err)
		}
		l.pause(ctx, attempt)
		l.park(ctx)
	}
}

// pause waits for a random time, which grows with each failed attempt, so that the instances of a
// service do not attach at the same time.
func (l *link) pause(ctx context.Context, attempt int) {
	o := &l.service.options
	most := min(o.MinBackoff<<min(attempt, 20), o.MaxBackoff)
	if l.service.scheduler.hasLost(l.replica) {
		most = min(most, max(lostBackoff, o.MinBackoff))
	}
	timer := time.NewTimer(most/4 + rand.N(max(most*3/4, 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// park waits while another link is attached to the replica of this address.
func (l *link) park(ctx context.Context) {
	svc := l.service
	for {
		svc.mu.Lock()
		changed, taken := svc.changed, svc.takenLocked(l, l.replica)
		svc.mu.Unlock()
		if !taken {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// takenLocked reports whether another link is attached to the replica. The service's mu is held.
func (svc *Service) takenLocked(l *link, replica string) bool {
	return replica != "" && slices.ContainsFunc(svc.links, func(other *link) bool {
		return other != l && other.replica == replica && other.stream != nil && !other.stream.ended.Load()
	})
}

// attach dials, registers, and returns when the stream has ended.
func (l *link) attach(ctx context.Context) (attached bool, err error) {
	svc := l.service
	conn, err := svc.options.dial(l.address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	// The stream outlives ctx, whose end starts a drain. It ends with the context of the handlers.
	streamCtx, cancel := context.WithCancel(svc.scheduler.ctx)
	defer cancel()
	d := svc.declaration()
	s, err := l.open(ctx, streamCtx, cancel, conn, d)
	if refused, ok := errors.AsType[*RegistrationError](err); ok {
		svc.refuse(d.number, refused)
	}
	if err != nil {
		return false, err
	}
	l.adopt(s, d)
	svc.stats.attached.Add(1)
	s.log.Info("attached", "service", svc.name, "instance", svc.options.InstanceID, "address", l.address, "url", s.welcome.GetPublicUrl())
	svc.scheduler.attach(s)
	svc.redeclare()
	svc.learn(s.welcome.GetTopology())
	lost := false
	select {
	case <-s.done:
		lost = ctx.Err() == nil
	case <-ctx.Done():
		s.leave(svc.options.Retire)
		<-s.done // the broker ends it, or the drain timeout does
	case <-s.replaced:
		cancel() // the broker ends it
		<-s.done
	case <-s.outdated:
		s.leave(false)
		late := time.AfterFunc(svc.options.DrainTimeout, cancel)
		<-s.done
		late.Stop()
		err = errOutdated
	}
	svc.scheduler.detach(s, lost)
	l.dropStream()
	svc.redeclare()
	return true, cmp.Or(err, s.err)
}

// open starts the stream and waits for the welcome, bounded by Options.AttachTimeout.
func (l *link) open(
	ctx, streamCtx context.Context, cancel context.CancelFunc, conn *grpc.ClientConn, d declaration,
) (*stream, error) {
	svc := l.service
	late := time.AfterFunc(svc.options.AttachTimeout, cancel)
	unwatch := context.AfterFunc(ctx, cancel)
	g, welcome, err := l.register(streamCtx, conn, d)
	intime := late.Stop()
	if !unwatch() {
		return nil, ctx.Err()
	}
	if err == nil && intime {
		return newStream(svc, l.address, g, welcome), nil
	}
	switch st := status.Convert(err); {
	case !intime:
		return nil, errSlow
	case st.Code() == codes.InvalidArgument:
		return nil, &RegistrationError{Message: st.Message()}
	}
	return nil, err
}

var attachDesc = &grpc.StreamDesc{StreamName: "Attach", ServerStreams: true, ClientStreams: true}

func (l *link) register(ctx context.Context, conn *grpc.ClientConn, d declaration) (grpc.ClientStream, *spanwirev1.Welcome, error) {
	g, err := conn.NewStream(ctx, attachDesc, spanwirev1.HandlerService_Attach_FullMethodName, grpc.ForceCodecV2(codec{}))
	if err != nil {
		return nil, nil, err
	}
	register := l.service.register()
	register.Registrations = d.list
	first, err := encodeFrame(&spanwirev1.AttachRequest{Frame: &spanwirev1.AttachRequest_Register{Register: register}})
	if err != nil {
		return nil, nil, err
	}
	// When sending fails, RecvMsg returns the error.
	_ = g.SendMsg(first)
	var in inFrame
	if err := g.RecvMsg(&in); err != nil {
		return nil, nil, err
	}
	var m spanwirev1.AttachResponse
	if err := proto.Unmarshal(in.data, &m); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errBadFrame, err)
	}
	if m.GetWelcome() == nil {
		return nil, nil, fmt.Errorf("%w: the first frame is not the welcome", errBadFrame)
	}
	return g, m.GetWelcome(), nil
}

// adopt makes the stream the stream of the link.
func (l *link) adopt(s *stream, d declaration) {
	l.service.mu.Lock()
	defer l.service.mu.Unlock()
	l.replica = s.welcome.GetReplica()
	for _, other := range l.service.links {
		if other != l && other.stream != nil && l.replica != "" && other.replica == l.replica {
			other.stream.replace()
		}
	}
	l.service.openedLocked(s, d)
	l.stream = s
}

func (l *link) dropStream() {
	l.service.mu.Lock()
	defer l.service.mu.Unlock()
	if late := l.stream.declared.late; late != nil {
		late.Stop()
	}
	l.stream = nil
}

// redeclare sends the last declaration to streams that need it, after a link attached or detached.
func (svc *Service) redeclare() {
	svc.mu.Lock()
	svc.settleLocked()
	svc.notifyLocked()
	asked := svc.askLocked()
	svc.mu.Unlock()
	for _, s := range asked {
		s.flush()
	}
}

// notifyLocked wakes the goroutines that wait for a change of a link or of a declaration.
func (svc *Service) notifyLocked() {
	close(svc.changed)
	svc.changed = make(chan struct{})
}

// learn starts links to the replicas that a broker announces, and ends those to replicas that it no
// longer announces.
func (svc *Service) learn(t *spanwirev1.Topology) {
	if t == nil || svc.options.OneReplica {
		return
	}
	svc.mu.Lock()
	defer svc.mu.Unlock()
	if svc.linkCtx.Err() != nil {
		return
	}
	announced := map[string]bool{}
	for _, r := range t.GetReplicas() {
		announced[r.GetAddress()] = true
		known := slices.ContainsFunc(svc.links, func(l *link) bool {
			return l.address == r.GetAddress() || l.replica == r.GetId() && l.stream != nil
		})
		if r.GetAddress() != "" && !known {
			svc.linkLocked(&link{service: svc, address: r.GetAddress(), learned: true, replica: r.GetId()})
		}
	}
	for _, l := range svc.links {
		if l.learned && !announced[l.address] && l.stream == nil {
			l.cancel()
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
