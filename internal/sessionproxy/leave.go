// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A forwarder that drains has the owner drain each session whose WebSocket it carries. The owner
// waits for the handlers, writes the acks and closes the WebSocket, and all that travels over the
// link that is still there. The link ends as it does when an owner ends a session at any time.
//
//   - The owner is asked again about a link that has not ended: the request may have been lost, or
//     its browser was within an upgrade, and the owner passes over sessions that are on polling.
//   - An owner of an earlier version takes the request for one about polling requests, does
//     nothing, and answers with another status. Its links are closed.

const (
	leaveInterval = 50 * time.Millisecond // between two looks at the links
	leaveAgain    = time.Second
	// statusLeaving is the answer of an owner that drains the sessions.
	statusLeaving = http.StatusAccepted
	// noTime stands where a request to drain says how long that may take.
	noTime = "-"
)

// leaveTime reads how long sessions may take to be drained, if they are to be.
func leaveTime(within string) (d time.Duration, ok bool) {
	ms, err := strconv.ParseUint(within, 10, 32)
	return time.Duration(ms) * time.Millisecond, err == nil
}

// asked is who is asked about the session of a request.
func (e *proxyRequest) asked() owner { return owner{e.owner, e.address} }

// leaveAll asks the owners to drain the sessions of all links and returns when these have ended, or
// ctx has.
func (f *Forwarder) leaveAll(ctx context.Context) {
	var asks sync.WaitGroup // they end with ctx
	defer asks.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f.spreadLinks()
	ticks := time.NewTicker(leaveInterval)
	defer ticks.Stop()
	for {
		due, left := f.dueLinks()
		for o, links := range due {
			for len(links) > 0 {
				part := links[:min(len(links), mostAsked)]
				links = links[len(part):]
				asks.Go(func() { f.askToDrain(ctx, o, part) })
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// spreadLinks gives each link its time within DrainSpread. Links that come later are due at once.
func (f *Forwarder) spreadLinks() {
	f.mu.Lock()
	defer f.mu.Unlock()
	due, step := time.Now(), f.o.DrainSpread/time.Duration(max(1, len(f.links)))
	for l := range f.links {
		l.due = due
		due = due.Add(step)
	}
}

// dueLinks gives the links whose owners are to be asked now, and tells how many there are in all. A
// link that one side has ended needs nothing.
func (f *Forwarder) dueLinks() (due map[owner][]*link, left int) {
	due = make(map[owner][]*link)
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.links {
		if l.left.Load() == bothWays && !l.due.After(now) {
			l.due = now.Add(leaveAgain)
			o := l.proxyRequest.asked()
			due[o] = append(due[o], l)
		}
	}
	return due, len(f.links)
}

// askToDrain asks one owner to drain the sessions of links until ctx ends.
func (f *Forwarder) askToDrain(ctx context.Context, o owner, links []*link) {
	sessions := make([]string, 0, len(links))
	for _, l := range links {
		sessions = append(sessions, string(l.proxyRequest.session))
	}
	var within time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		within = max(0, time.Until(deadline))
	}
	status, err := f.ask(ctx, o, strconv.FormatInt(within.Milliseconds(), 10), sessions)
	switch {
	case ctx.Err() != nil || err == nil && status == statusLeaving:
	case err != nil:
		f.tellLeave(slog.LevelWarn, "request to drain the sessions of forwarded WebSockets failed", o, links, "err", err)
	default:
		f.tellLeave(slog.LevelInfo, "forwarded WebSockets closed: their replica does not know the request to drain their sessions", o, links,
			"status", status)
		for _, l := range links {
			l.close()
		}
	}
}

// tellLeave writes why sessions are not drained by their owner.
func (f *Forwarder) tellLeave(level slog.Level, text string, o owner, links []*link, fact ...any) {
	if ok, suppressed := f.quiet.Allow(text); ok {
		f.log.Log(context.Background(), level, text, append(fact, "peer", o.id, "count", len(links), "suppressed", suppressed)...)
	}
}

// cutLinks closes what is left.
func (f *Forwarder) cutLinks() {
	unanswered := 0
	f.mu.Lock()
	for l := range f.links {
		if l.left.Load() == bothWays {
			unanswered++
		}
		l.close()
	}
	f.mu.Unlock()
	if unanswered > 0 {
		f.log.Warn("forwarded WebSockets closed before handlers had answered", "count", unanswered, "duration", f.o.DrainSettle, "setting", "drain-timeout")
	}
}
