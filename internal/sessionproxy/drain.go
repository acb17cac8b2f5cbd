// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A replica that leaves must not harm sessions of others. A polling request that waits can only be
// ended well by the owner, so it is asked to answer; the browser's next request comes to another
// replica. A WebSocket cannot change its way: the owner is asked to drain its session, see
// leave.go.

const (
	wakeInterval = time.Second
	askTimeout   = 3 * time.Second
	mostAsked    = 1024 // sessions in one request
)

// owner is a replica that is asked about sessions of its own.
type owner struct {
	id      sio.ReplicaID
	address string
}

// Drain has the owners drain the sessions whose WebSockets are forwarded here, spread over
// DrainSpread, and returns when these WebSockets have ended. After DrainSettle, or when ctx ends,
// it closes the rest. Polling browsers are asked with each answer to take another connection, and
// until Close none of them waits for long.
func (f *Forwarder) Drain(ctx context.Context) {
	f.draining.Store(true)
	f.mu.Lock()
	if !f.closed {
		f.carried.Go(f.wakeAll) // ended by Close
	}
	f.mu.Unlock()
	settling, stop := context.WithTimeout(ctx, f.o.DrainSettle)
	defer stop()
	f.leaveAll(settling)
	f.cutLinks()
}

// wakeAll asks the owners now and then to answer the polling requests that wait.
func (f *Forwarder) wakeAll() {
	ticks := time.NewTicker(wakeInterval)
	defer ticks.Stop()
	for {
		waiting := make(map[owner][]string)
		f.mu.Lock()
		for e := range f.polls {
			waiting[e.asked()] = append(waiting[e.asked()], string(e.session))
		}
		f.mu.Unlock()
		for o, sessions := range waiting {
			for part := range slices.Chunk(sessions, mostAsked) {
				f.wake(o, part)
			}
		}
		select {
		case <-ticks.C:
		case <-f.quit:
			return
		}
	}
}

// wake asks one owner to answer polling requests.
func (f *Forwarder) wake(o owner, sessions []string) {
	if _, err := f.ask(context.Background(), o, noTime, sessions); err != nil {
		f.log.Debug("peer not asked to answer its polling requests", "peer", o.id, "err", err)
	}
}

// ask sends one owner the request that is no browser's, and gives the status of the answer.
func (f *Forwarder) ask(ctx context.Context, o owner, within string, sessions []string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, plainScheme+"://"+o.address+"/", strings.NewReader(strings.Join(sessions, "\n")))
	if err != nil {
		return 0, err
	}
	r.Header.Set(requestHeader, token(&f.o, forRequests, o.id)+" "+wakeScheme+" "+within)
	answer, err := f.transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

// asked does what another replica asks for when it leaves.
func (f *Forwarder) asked(w http.ResponseWriter, r *http.Request, within string) {
	const longest = 64 // of an id, with room
	sessions, err := io.ReadAll(io.LimitReader(r.Body, mostAsked*longest))
	if err != nil {
		return // it is gone
	}
	do, status := f.o.Wake, http.StatusNoContent
	if d, ok := leaveTime(within); ok {
		do, status = func(id sio.SessionID) { f.o.DrainSession(id, d) }, statusLeaving
	}
	for id := range strings.SplitSeq(string(sessions), "\n") {
		do(sio.SessionID(id))
	}
	w.WriteHeader(status)
}

// Close ends every WebSocket that is forwarded and returns when nothing of them runs any more.
// Polling requests end with the servers that took them.
func (f *Forwarder) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.quit)
	}
	for l := range f.links {
		l.close()
	}
	f.mu.Unlock()
	f.carried.Wait()
	f.transport.CloseIdleConnections()
}
