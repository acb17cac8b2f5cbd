// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spanwire/spanwire/internal/sio"
)

// What belongs to no other replica must reach the entry point here as it came.
func TestForwarder_Local(t *testing.T) {
	var here, there atomic.Int32
	var c cluster
	near := c.add(t, func(http.ResponseWriter, *http.Request) { here.Add(1) })
	far := c.add(t, func(http.ResponseWriter, *http.Request) { there.Add(1) })
	id := string(far.session)
	for name, q := range map[string]struct{ method, query string }{
		"new session":       {"GET", "EIO=4&transport=polling"},
		"own session":       {"GET", "EIO=4&transport=polling&sid=" + string(near.session)},
		"no query":          {"GET", ""},
		"empty":             {"GET", "sid="},
		"no id":             {"GET", "sid=abc"},
		"longer":            {"GET", "sid=" + id + "x"},
		"named twice":       {"GET", "sid=" + id + "&sid=" + id},
		"in another key":    {"GET", "xsid=" + id},
		"characters of URL": {"GET", "sid=" + id[:len(id)-3] + "%41"},
		"CORS question":     {"OPTIONS", "sid=" + id},
		"replica unknown":   {"GET", "sid=" + string(sio.NewSessionID("______"))},
	} {
		before := here.Load()
		do(t, request(t, q.method, near.public.URL+"/socket.io/?"+q.query, ""))
		if here.Load() != before+1 || there.Load() != 0 {
			t.Errorf("%s: it was not left to the entry point here", name)
		}
	}
	if n := testutil.ToFloat64(near.metrics.UnknownReplica); n != 1 {
		t.Errorf("%v requests for unknown replicas were counted", n)
	}
	if n := testutil.ToFloat64(near.metrics.Polling) + testutil.ToFloat64(near.metrics.WebSocket); n != 0 {
		t.Errorf("%v requests were counted as forwarded", n)
	}
}

// A request that stays here must cost nothing.
func TestForwarder_LocalAllocations(t *testing.T) {
	var c cluster
	near := c.add(t, func(http.ResponseWriter, *http.Request) {})
	for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=polling&t=abc&sid=" + string(near.session)} {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/socket.io/", RawQuery: query}}
		if n := testing.AllocsPerRun(2000, func() { near.ServeHTTP(nil, r) }); n != 0 {
			t.Errorf("%q: %v allocations", query, n)
		}
	}
}

// seen is a request as an entry point sees it.
type seen struct {
	*http.Request
	body string
}

func keep(into chan<- seen) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := w.Header()
		h.Set("Content-Type", "text/x-own")
		h.Add("Set-Cookie", "a=b")
		h.Add("Set-Cookie", "c=d")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "answer")
		into <- seen{r, string(body)}
	}
}

// The owner must see the request as if the browser had come to it, and the browser the owner's
// answer.
func TestForwarder_Poll(t *testing.T) {
	got := make(chan seen, 1)
	near, far := pair(t, keep(got))
	for method, body := range map[string]string{"GET": "", "POST": "4\x1e€", "DELETE": ""} {
		r := request(t, method, near.url(far.session)+"&x=%20;&y&token=100%&token=%zz", body)
		r.Host = "shop.example:8443"
		sent := http.Header{
			"Origin": {"https://shop.example"}, "Cookie": {"s=1; t=2"}, "Accept-Encoding": {"br, gzip"}, "X-Forwarded-For": {"192.0.2.1", "10.0.0.1"},
			"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"a.example"}, "Forwarded": {"for=192.0.2.1"}, "User-Agent": {"Browser/1"},
			"Connection": {"keep-alive, X-Forwarded-For"}, "X-Spanwire-Forwarded": {"forged"}, "X-Spanwire-Owner": {"forged"},
		}
		r.Header = sent.Clone()
		answer, text := do(t, r)
		if answer.StatusCode != http.StatusTeapot || text != "answer" || answer.Header.Get("Content-Type") != "text/x-own" ||
			len(answer.Header["Set-Cookie"]) != 2 || answer.Header.Get("Content-Encoding") != "gzip" || answer.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s was answered %s %q %v", method, answer.Status, text, answer.Header)
		}
		if answer.Header.Get(answerHeader) != "" {
			t.Errorf("%s: the browser was shown the owner's token", method)
		}
		s := await(t, got, "the request")
		if s.Method != method || s.body != body || s.Host != r.Host || s.RequestURI != r.URL.RequestURI() || s.TLS != nil {
			t.Errorf("%s arrived as %s %s of %s with %q", method, s.Method, s.RequestURI, s.Host, s.body)
		}
		if host, port, _ := net.SplitHostPort(s.RemoteAddr); host != "127.0.0.1" || port == "" {
			t.Errorf("%s arrived from %q", method, s.RemoteAddr)
		}
		delete(sent, "Connection")
		delete(sent, requestHeader)
		for name, want := range sent {
			if strings.Join(s.Header[name], "|") != strings.Join(want, "|") {
				t.Errorf("%s: header %s arrived as %q, not %q", method, name, s.Header[name], want)
			}
		}
		if _, has := s.Header[requestHeader]; has {
			t.Errorf("%s: the entry point was shown the token", method)
		}
	}
	if n, m := testutil.ToFloat64(near.metrics.Polling), testutil.ToFloat64(far.metrics.Received); n != 3 || m != 3 {
		t.Errorf("counted %v forwarded, %v taken", n, m)
	}
	near.idle(t)
}

// The owner must know where a browser came from, and that it came by TLS.
func TestForwarder_Secure(t *testing.T) {
	got := make(chan seen, 1)
	near, far := pair(t, keep(got))
	r := httptest.NewRequest("GET", near.url(far.session), nil)
	r.TLS, r.RemoteAddr = new(tls.ConnectionState), "[2001:db8::7]:4711"
	r.Header.Del("User-Agent")
	near.ServeHTTP(httptest.NewRecorder(), r)
	s := await(t, got, "the request")
	if s.TLS == nil || s.RemoteAddr != r.RemoteAddr {
		t.Errorf("it arrived from %s, secure: %v", s.RemoteAddr, s.TLS != nil)
	}
	if agents := s.Header["User-Agent"]; len(agents) != 0 {
		t.Errorf("it arrived with the User-Agent %q", agents)
	}
}

// What was forwarded once must stay where it came, whatever session it names.
func TestForwarder_Once(t *testing.T) {
	var c cluster
	got := make(chan seen, 1)
	near := c.add(t, unknown)
	far := c.add(t, keep(got))
	third := c.add(t, func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded twice") })
	r := request(t, "GET", far.taken.URL+"/socket.io/?sid="+string(third.session), "")
	r.Header.Set(requestHeader, token(&near.o, forRequests, far.id)+" http 192.0.2.1:1")
	do(t, r)
	if s := await(t, got, "the request"); s.RemoteAddr != "192.0.2.1:1" {
		t.Errorf("it came from %s", s.RemoteAddr)
	}
}

// Who does not show the secret, for just this replica, must be refused.
func TestForwarder_Denied(t *testing.T) {
	near, far := pair(t, func(http.ResponseWriter, *http.Request) { t.Error("it was accepted") })
	other := near.o
	other.Secret = "another secret"
	elsewhere := near.o
	elsewhere.Cluster = "d"
	cases := map[string]string{
		"nothing":         "",
		"the secret":      near.o.Secret + " http 192.0.2.1:1",
		"another secret":  token(&other, forRequests, far.id) + " http 192.0.2.1:1",
		"another cluster": token(&elsewhere, forRequests, far.id) + " http 192.0.2.1:1",
		"another replica": token(&near.o, forRequests, near.id) + " http 192.0.2.1:1",
		"the answer's":    token(&near.o, forAnswers, far.id) + " http 192.0.2.1:1",
		"no sender":       token(&near.o, forRequests, far.id),
	}
	for name, shown := range cases {
		r := request(t, "GET", far.taken.URL+"/socket.io/?sid="+string(far.session), "")
		r.Header.Set(requestHeader, shown)
		if answer, _ := do(t, r); answer.StatusCode != http.StatusForbidden || answer.Header.Get(answerHeader) != "" {
			t.Errorf("%s: answered %s", name, answer.Status)
		}
	}
	if n := testutil.ToFloat64(far.metrics.Unauthenticated); n != float64(len(cases)) {
		t.Errorf("%v were counted", n)
	}
}

// A replica that cannot be asked leaves the request to the entry point here, once, and the cause is
// counted.
func TestForwarder_Failures(t *testing.T) {
	var came atomic.Int32
	rude, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() { // ends with the listener
		defer close(accepting)
		for {
			conn, err := rude.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				came.Add(1)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		rude.Close()
		<-accepting
	})
	another := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "welcome") }))
	t.Cleanup(another.Close)
	const nobody = "127.0.0.1:1" // no port that a listener of another test may be given meanwhile
	near, far := pair(t, unknown)
	otherSecret := (&cluster{}).add(t, unknown, func(o *Options) { o.Secret = "another secret" })
	m := near.metrics
	for name, c := range map[string]struct {
		announced string
		counted   prometheus.Counter
	}{
		"no address":      {"", m.NoAddress},
		"unreachable":     {nobody, m.Unreachable},
		"another program": {another.Listener.Addr().String(), m.WrongReplica},
		"another secret":  {otherSecret.announced, m.WrongReplica},
		"it hangs up":     {rude.Addr().String(), m.NoAnswer},
	} {
		for _, how := range []string{"GET", "POST", "WebSocket"} {
			counted := testutil.ToFloat64(c.counted)
			came.Store(0)
			far.announced = c.announced
			r := request(t, "GET", near.url(far.session), "")
			switch how {
			case "POST":
				r = request(t, "POST", near.url(far.session), "4x")
			case "WebSocket":
				r.Header = upgradeHeader()
			}
			answer, text := do(t, r)
			if answer.StatusCode != http.StatusBadRequest || text != "unknown here" {
				t.Errorf("%s, %s: answered %s %q", name, how, answer.Status, text)
			}
			if n := testutil.ToFloat64(c.counted); n != counted+1 {
				t.Errorf("%s, %s: counted %v times", name, how, n-counted)
			}
			if n := came.Load(); n > 1 {
				t.Errorf("%s, %s: it was sent %d times", name, how, n)
			}
		}
	}
	near.idle(t)
}

// A request on a connection that was used before must not be sent again when that breaks: the owner
// may have answered it.
func TestForwarder_NotAgain(t *testing.T) {
	var polls atomic.Int32
	near, far := pair(t, func(w http.ResponseWriter, _ *http.Request) {
		if polls.Add(1) == 1 {
			io.WriteString(w, "first")
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	do(t, request(t, "GET", near.url(far.session), ""))
	if answer, _ := do(t, request(t, "GET", near.url(far.session), "")); answer.StatusCode != http.StatusBadRequest || polls.Load() != 2 {
		t.Errorf("answered %s after %d requests", answer.Status, polls.Load())
	}
}

// When the browser leaves, the owner must see it leave.
func TestForwarder_Left(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	near, far := pair(t, func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	r := request(t, "GET", near.url(far.session), "").WithContext(ctx)
	done := make(chan struct{})
	go func() { // ends with the request
		defer close(done)
		if answer, err := http.DefaultTransport.RoundTrip(r); err == nil {
			answer.Body.Close()
			t.Error("it was answered")
		}
	}()
	await(t, came, "the request")
	cancel()
	await(t, left, "the end of the request")
	await(t, done, "the end of the client")
}

// An answer that breaks off must not look whole.
func TestForwarder_Truncated(t *testing.T) {
	near, far := pair(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "part")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	conn := dial(t, near.public, "GET /socket.io/?sid="+string(far.session)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		answer.Body.Close()
	}
	if err == nil {
		t.Error("the part was taken for the whole")
	}
	if n := testutil.ToFloat64(near.metrics.NoAnswer); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// A body that the owner refuses must be answered although the rest of it never comes, and the
// connection closed.
func TestForwarder_RefusedBody(t *testing.T) {
	near, far := pair(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		if _, err := io.ReadFull(r.Body, make([]byte, len("4begin"))); err != nil {
			t.Error(err)
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	conn := dial(t, near.public, "POST /socket.io/?sid="+string(far.session)+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n4begin")
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
		t.Errorf("answered %s, close: %v", answer.Status, answer.Close)
	}
	if _, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection goes on (%v)", err)
	}
}

// A large body must pass both ways.
func TestForwarder_LargeBody(t *testing.T) {
	near, far := pair(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	answer, text := do(t, request(t, "POST", near.url(far.session), string(large)))
	if answer.StatusCode != http.StatusOK || text != string(large) {
		t.Errorf("%s with %d bytes", answer.Status, len(text))
	}
}

// One request too many must be asked to come again, and have room when another is over.
func TestForwarder_MaxForwards(t *testing.T) {
	came, answer := make(chan struct{}), make(chan struct{})
	near, far := pair(t, func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-answer
	}, func(o *Options) { o.MaxForwards = 1 })
	done := make(chan struct{})
	go func() { // ends with the answer
		defer close(done)
		if r, err := http.Get(near.url(far.session)); err != nil || r.Body.Close() != nil {
			t.Error(err)
		}
	}()
	await(t, came, "the first")
	for _, header := range []http.Header{{}, upgradeHeader()} {
		r := request(t, "GET", near.url(far.session), "")
		r.Header = header
		if a, text := do(t, r); a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || !strings.Contains(text, "max-forwards") {
			t.Errorf("answered %s %q", a.Status, text)
		}
	}
	answer <- struct{}{}
	await(t, done, "the first answer")
	near.idle(t) // the browser has its answer before the forwarder has its room again
	go func() {
		<-came
		answer <- struct{}{}
	}()
	if a, _ := do(t, request(t, "GET", near.url(far.session), "")); a.StatusCode != http.StatusOK {
		t.Errorf("the next was answered %s", a.Status)
	}
	if n := testutil.ToFloat64(near.metrics.TooMany); n != 2 {
		t.Errorf("%v were counted", n)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// While a replica drains, polling browsers must be asked to take another connection, and those that
// wait be answered by the owners.
func TestForwarder_DrainPolling(t *testing.T) {
	var c cluster
	came, wake := make(chan struct{}, 2), make(chan struct{})
	var named atomic.Value
	near := c.add(t, unknown)
	far := c.add(t, func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-wake
		io.WriteString(w, "6")
	}, func(o *Options) {
		o.Wake = func(id sio.SessionID) {
			if named.Swap(id) == nil {
				close(wake)
			}
		}
	})
	done := make(chan struct{})
	go func() { // ends with the answer
		defer close(done)
		if answer, text := do(t, request(t, "GET", near.url(far.session), "")); !answer.Close || text != "6" {
			t.Errorf("answered %q, close: %v", text, answer.Close)
		}
	}()
	await(t, came, "the request")
	near.Drain(t.Context())
	await(t, done, "the answer")
	if id := named.Load(); id != far.session {
		t.Errorf("woken was %v", id)
	}
	if n := testutil.ToFloat64(far.metrics.Received); n != 1 {
		t.Errorf("%v requests were counted", n)
	}
	near.idle(t)
}
