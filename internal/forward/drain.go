// SPDX-License-Identifier: Apache-2.0

package forward

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// A replica that leaves must not harm sessions of others. A polling request that waits can only be ended well by the owner, so it is asked to
// answer; the browser's next request comes to another replica. A WebSocket cannot change its way: it is ended, and its browser begins anew.

const (
	wakeInterval = time.Second
	wakeTimeout  = 3 * time.Second
	mostWoken    = 1024 // sessions in one request
)

// Drain ends the WebSockets that are forwarded, spread over DrainSpread, and returns when all are ended or ctx is. Polling browsers are told with
// each answer to take another connection, and until Close none of them waits for long.
func (f *Forwarder) Drain(ctx context.Context) {
	f.draining.Store(true)
	f.mu.Lock()
	links := make([]*link, 0, len(f.links))
	for l := range f.links {
		links = append(links, l)
	}
	if !f.closed {
		f.carried.Go(f.wakeAll) // ended by Close
	}
	f.mu.Unlock()
	begin := time.Now()
	for i, l := range links {
		t := time.NewTimer(time.Until(begin.Add(f.o.DrainSpread * time.Duration(i) / time.Duration(len(links)))))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		l.close()
	}
}

// wakeAll asks the owners now and then to answer the polling requests that wait.
func (f *Forwarder) wakeAll() {
	ticks := time.NewTicker(wakeInterval)
	defer ticks.Stop()
	for {
		type other struct {
			id      sio.ReplicaID
			address string
		}
		waiting := make(map[other][]string)
		f.mu.Lock()
		for e := range f.polls {
			o := other{e.owner, e.address}
			waiting[o] = append(waiting[o], string(e.session))
		}
		f.mu.Unlock()
		for o, sessions := range waiting {
			for len(sessions) > 0 {
				n := min(len(sessions), mostWoken)
				f.wake(o.id, o.address, sessions[:n])
				sessions = sessions[n:]
			}
		}
		select {
		case <-ticks.C:
		case <-f.quit:
			return
		}
	}
}

// wake asks one owner.
func (f *Forwarder) wake(owner sio.ReplicaID, address string, sessions []string) {
	ctx, cancel := context.WithTimeout(context.Background(), wakeTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, plainScheme+"://"+address+"/", strings.NewReader(strings.Join(sessions, "\n")))
	if err == nil {
		r.Header.Set(requestHeader, token(&f.o, forRequests, owner)+" "+wakeScheme+" -")
		var answer *http.Response
		if answer, err = f.transport.RoundTrip(r); err == nil {
			_ = answer.Body.Close()
		}
	}
	if err != nil {
		f.log.Debug("another replica was not asked to answer its polling requests", "other", owner, "error", err)
	}
}

// woken does what another replica asks for when it leaves.
func (f *Forwarder) woken(w http.ResponseWriter, r *http.Request) {
	const longest = 64 // of an id, with room
	sessions, err := io.ReadAll(io.LimitReader(r.Body, mostWoken*longest))
	if err != nil {
		return // it is gone
	}
	for id := range strings.SplitSeq(string(sessions), "\n") {
		f.o.Wake(sio.SessionID(id))
	}
	w.WriteHeader(http.StatusNoContent)
}

// Close ends every WebSocket that is forwarded and returns when nothing of them runs any more. Polling requests end with the servers that
// took them.
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
