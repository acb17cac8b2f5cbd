// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/sio"
)

// drainable is a replica behind another, and what it was asked for.
type drainable struct {
	near, far *replica
	browsers  []*websocket.Conn
	owners    []*websocket.Conn

	mu    sync.Mutex // guards asked
	asked []sio.SessionID
	drain func(times int, within time.Duration) // called for each session that is asked about
}

// newDrainable opens WebSockets of one session through near to far.
func newDrainable(t *testing.T, links int, changes ...func(*Options)) *drainable {
	t.Helper()
	d := &drainable{drain: func(int, time.Duration) {}}
	conns := make(chan *websocket.Conn, 1)
	var c cluster
	d.near = c.add(t, unknown, changes...)
	d.far = c.add(t, upgraded(t, conns, nil), func(o *Options) {
		o.DrainSession = func(id sio.SessionID, within time.Duration) {
			d.mu.Lock()
			d.asked = append(d.asked, id)
			times := len(d.asked)
			d.mu.Unlock()
			d.drain(times, within)
		}
	})
	for range links {
		d.browsers = append(d.browsers, open(t, d.near, d.far))
		owner := await(t, conns, "the WebSocket")
		t.Cleanup(func() { owner.Close() })
		d.owners = append(d.owners, owner)
	}
	return d
}

// end says the last word of the owner, as a session that drains does.
func (d *drainable) end(t *testing.T) {
	for _, owner := range d.owners {
		if err := errors.Join(owner.WriteMessage(websocket.TextMessage, []byte("430[]")),
			owner.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, "")), owner.Close()); err != nil {
			t.Error(err)
		}
	}
}

// ended checks that each browser got the last ack and the owner's own end.
func (d *drainable) ended(t *testing.T) {
	t.Helper()
	for _, b := range d.browsers {
		if _, text, err := b.ReadMessage(); string(text) != "430[]" {
			t.Errorf("the ack came as %q (%v)", text, err)
		}
		if _, _, err := b.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
			t.Errorf("the WebSocket ended with %v", err)
		}
		b.Close()
	}
}

// draining drains near, and tells when that is done.
func (d *drainable) draining() <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with the drain
		defer close(done)
		d.near.Drain(context.Background())
	}()
	return done
}

// The owner is asked to drain the session, in the time that is left, and what it writes reaches the
// browser before the WebSocket ends.
func TestForwarder_Drain_owner(t *testing.T) {
	d := newDrainable(t, 1, func(o *Options) { o.DrainSettle = time.Hour })
	asked := make(chan time.Duration, 1)
	d.drain = func(times int, within time.Duration) {
		if times == 1 {
			asked <- within
		}
	}
	done := d.draining()
	if within := await(t, asked, "the request"); within <= time.Hour-patience || within > time.Hour {
		t.Errorf("the owner has %v", within)
	}
	d.browsers[0].WriteMessage(websocket.TextMessage, []byte("still carried"))
	if _, text, err := d.owners[0].ReadMessage(); string(text) != "still carried" {
		t.Errorf("the owner read %q (%v)", text, err)
	}
	select {
	case <-done:
		t.Error("the drain did not wait for the owner")
	default:
	}
	d.end(t)
	d.ended(t)
	await(t, done, "the end of the drain")
	d.near.idle(t)
	if d.asked[0] != d.far.session {
		t.Errorf("asked for %q, not %q", d.asked, d.far.session)
	}
}

// A session that the owner could not drain at first, since its browser was within an upgrade, is
// asked for again.
func TestForwarder_Drain_again(t *testing.T) {
	d := newDrainable(t, 1, func(o *Options) { o.DrainSettle = time.Hour })
	d.drain = func(times int, _ time.Duration) {
		if times == 2 {
			d.end(t)
		}
	}
	done := d.draining()
	d.ended(t)
	await(t, done, "the end of the drain")
}

// One request names the sessions of many links, and each link has its time within DrainSpread.
func TestForwarder_spreadLinks(t *testing.T) {
	const spread, links = 10 * time.Second, 5
	f := New(Options{DrainSpread: spread}, nil, nil, slog.New(slog.DiscardHandler))
	e := &proxyRequest{owner: "o", address: "a"}
	for range links {
		f.keep(e, nil, nil)
	}
	ended := f.keep(e, nil, nil)
	f.spreadLinks()
	now := time.Now()
	var dues []time.Time
	for l := range f.links {
		dues = append(dues, l.due)
	}
	slices.SortFunc(dues, time.Time.Compare)
	const step = spread / (links + 1)
	for n, due := range dues {
		if after := due.Sub(dues[0]); after != time.Duration(n)*step {
			t.Errorf("link %d is due %v after the first", n, after)
		}
	}
	if dues[0].After(now) {
		t.Error("the first link is not due at once")
	}
	f.mu.Lock()
	for l := range f.links {
		l.due = now
	}
	f.mu.Unlock()
	ended.left.Store(1)
	if due, left := f.dueLinks(); len(due) != 1 || len(due[e.asked()]) != links || left != links+1 {
		t.Errorf("%d of %d are due", len(due[e.asked()]), left)
	}
	if due, _ := f.dueLinks(); len(due) != 0 {
		t.Errorf("asked twice at once for %v", due)
	}
}

// An owner that knows nothing of such requests takes them for others: its WebSockets are closed,
// without waiting.
func TestForwarder_Drain_olderOwner(t *testing.T) {
	d := newDrainable(t, 2, func(o *Options) { o.DrainSettle = time.Hour })
	older := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, rest, _ := strings.Cut(r.Header.Get(requestHeader), " "); !strings.HasPrefix(rest, wakeScheme+" ") {
			t.Errorf("asked for %q, which browsers' requests look like there", rest)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer older.Close()
	d.near.mu.Lock()
	for l := range d.near.links {
		l.proxyRequest.address = older.Listener.Addr().String()
	}
	d.near.mu.Unlock()
	await(t, d.draining(), "the end of the drain")
	d.near.idle(t)
}

// An owner that does not end its sessions holds a drain up for DrainSettle at most, and so does one
// that cannot be asked; the log says so.
func TestForwarder_Drain_bound(t *testing.T) {
	for name, address := range map[string]string{"busy": "", "unreachable": "127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			d := newDrainable(t, 3, func(o *Options) { o.DrainSettle = time.Second })
			var log bytes.Buffer
			d.near.log = slog.New(slog.NewTextHandler(&log, nil))
			d.near.mu.Lock()
			for l := range d.near.links {
				if address != "" {
					l.proxyRequest.address = address
				}
			}
			d.near.mu.Unlock()
			await(t, d.draining(), "the end of the drain")
			d.near.Close() // nobody writes to the log any more
			d.near.idle(t)
			if !strings.Contains(log.String(), `msg="forwarded WebSockets closed before handlers had answered" count=3 duration=1s setting=drain-timeout`) {
				t.Errorf("the log says %s", &log)
			}
			if failed := strings.Contains(log.String(), "request to drain the sessions of forwarded WebSockets failed"); failed != (address != "") {
				t.Errorf("the log says %s", &log)
			}
		})
	}
}

// Only a replica of the cluster may ask, and what it says of the time must be a number of
// milliseconds.
func TestForwarder_Taken_drain(t *testing.T) {
	d := newDrainable(t, 0)
	var within []time.Duration
	d.drain = func(_ int, w time.Duration) { within = append(within, w) }
	for _, c := range []struct {
		token, within string
		status        int
	}{
		{"", "1000", http.StatusForbidden},
		{token(&d.near.o, forRequests, d.near.id), "1000", http.StatusForbidden},
		{token(&d.near.o, forRequests, d.far.id), "1000", http.StatusAccepted},
		{token(&d.near.o, forRequests, d.far.id), "0", http.StatusAccepted},
		{token(&d.near.o, forRequests, d.far.id), noTime, http.StatusNoContent},
		{token(&d.near.o, forRequests, d.far.id), "-5", http.StatusNoContent},
		{token(&d.near.o, forRequests, d.far.id), "99999999999999999999", http.StatusNoContent},
	} {
		r := request(t, http.MethodPost, d.far.taken.URL, "nobody")
		r.Header.Set(requestHeader, c.token+" "+wakeScheme+" "+c.within)
		if answer, _ := do(t, r); answer.StatusCode != c.status {
			t.Errorf("%q answered %s", c.within, answer.Status)
		}
	}
	if !slices.Equal(within, []time.Duration{time.Second, 0}) {
		t.Errorf("sessions were drained within %v", within)
	}
}

// A drain must end the WebSockets whose owner does not, at once when there is no time; so must the
// end.
func TestForwarder_Drain(t *testing.T) {
	for name, end := range map[string]func(*replica){
		"time is over": func(r *replica) { r.Drain(context.Background()) },
		"no time": func(r *replica) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			r.Drain(ctx)
			r.Close()
		},
		"close": func(r *replica) { r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			conns := make(chan *websocket.Conn, 1)
			near, far := pair(t, upgraded(t, conns, nil), func(o *Options) { o.DrainSpread, o.DrainSettle = 10*time.Millisecond, 20*time.Millisecond })
			for range 3 {
				browser := open(t, near, far)
				owner := await(t, conns, "the WebSocket")
				defer owner.Close()
				defer browser.Close()
			}
			end(near)
			near.idle(t)
		})
	}
}

// A replica that drains takes no further WebSocket, which would be ended soon, nor one whose
// handshake was on its way; its browser goes on polling.
func TestForwarder_Drain_refuses(t *testing.T) {
	for name, late := range map[string]bool{"before": false, "meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			conns, came, answer := make(chan *websocket.Conn, 1), make(chan struct{}), make(chan struct{})
			take := upgraded(t, conns, nil)
			near, far := pair(t, func(w http.ResponseWriter, r *http.Request) {
				close(came)
				<-answer
				take(w, r)
			})
			if !late {
				near.Drain(t.Context())
			}
			browser := dial(t, near.public, handshake(far))
			if late {
				await(t, came, "the handshake")
				near.Drain(t.Context())
			}
			close(answer)
			refusal, err := http.ReadResponse(bufio.NewReader(browser), nil)
			if err != nil {
				t.Fatal(err)
			}
			refusal.Body.Close()
			if refusal.StatusCode != http.StatusServiceUnavailable || refusal.Header.Get("Retry-After") == "" {
				t.Errorf("answered %s, %v", refusal.Status, refusal.Header)
			}
			if late {
				owner := await(t, conns, "the WebSocket")
				if _, _, err := owner.ReadMessage(); err == nil {
					t.Error("the owner's end is still open")
				}
				owner.Close()
			}
			near.idle(t)
		})
	}
}
