// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/certs/certstest"
	"github.com/spanwire/spanwire/test/process"
)

// unclear are requests, but for their first line, whose body ends at different places for different
// readers. A second request follows.
var unclear = map[string]string{
	"both":                        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"both, the other way round":   "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"both, with a body":           "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n3\r\n0\r\n\r\n",
	"both, in capitals":           "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
	"both, with a folded line":    "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"both, kept alive":            "Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"a length of 0 and chunks":    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"identity and chunked":        "Content-Length: 5\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
	"chunked and identity":        "Content-Length: 5\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
	"identity":                    "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"two encodings":               "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"chunked twice":               "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"an unknown encoding":         "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"a vertical tab":              "Content-Length: 5\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
	"a space before the colon":    "Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"a line that begins with one": "Content-Length: 5\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"two lengths":                 "Content-Length: 5\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
	"two lengths in one line":     "Content-Length: 5, 0\r\n\r\n0\r\n\r\n",
	"a length with a sign":        "Content-Length: +5\r\n\r\n0\r\n\r\n",
	"a length in hexadecimal":     "Content-Length: 0x5\r\n\r\n0\r\n\r\n",
	"a negative length":           "Content-Length: -1\r\n\r\n0\r\n\r\n",
}

// answeredOnce sends each unclear request with a clear one behind it, and expects one answer at
// most, and the end of the connection.
func answeredOnce(t *testing.T, dial func() (net.Conn, error), path string) {
	t.Helper()
	cases := map[string]string{}
	for name, rest := range unclear {
		cases[name] = "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + rest
	}
	cases["chunks in HTTP/1.0"] = "POST " + path + " HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	cases["a GET with both"] = "GET " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	var all sync.WaitGroup
	for name, first := range cases {
		all.Go(func() {
			got := conversation(t, dial, first+"GET "+path+"&second HTTP/1.1\r\nHost: x\r\n\r\n")
			if n := strings.Count(got, "HTTP/1."); n > 1 {
				t.Errorf("%s: %d answers:\n%s", name, n, got)
			}
		})
	}
	all.Wait()
}

// conversation writes bytes and reads until the broker ends the connection, or has answered twice.
func conversation(t *testing.T, dial func() (net.Conn, error), request string) string {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Error(err)
	}
	_, _ = io.WriteString(c, request) // a connection that is closed meanwhile shows below
	var got strings.Builder
	for buffer := make([]byte, 4<<10); strings.Count(got.String(), "HTTP/1.") < 2; {
		n, err := c.Read(buffer)
		got.Write(buffer[:n])
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("the connection stays open after %.200q, answered with %.300q", request, got.String())
		}
		if err != nil {
			break
		}
	}
	return got.String()
}

func plainly(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", address) }
}

// replicas starts two brokers that know each other, with a handler at both.
func (w *world) replicas(t *testing.T, flags ...string) (near, far *server) {
	t.Helper()
	nats, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--cluster-secret", "a-secret-of-all-replicas"}, flags...)
	near = w.with(t, append([]string{"--nats-listen", nats}, flags...)...)
	far = w.with(t, append([]string{"--nats-url", "nats://" + nats}, flags...)...)
	for _, s := range []*server{near, far} {
		for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
			n, err := s.broker.Metric("spanwire_mesh_peers")
			if err == nil && n >= 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the replicas do not find each other: %v %v", n, err)
			}
		}
	}
	return near, far
}

var framingRows = []row{
	{"O13", "a request whose body has no clear end is the last on its connection to browsers", func(t *testing.T, w *world) {
		s := w.with(t)
		answeredOnce(t, plainly(s.broker.HTTP), "/socket.io/?"+polling4)
		answeredOnce(t, plainly(s.broker.HTTP), "/elsewhere?a")
		p := s.polling(t)
		p.must("40")
		got := conversation(t, plainly(s.broker.HTTP), fmt.Sprintf("POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n1\r\n3\r\n0\r\n\r\nGET /socket.io/?%[1]s HTTP/1.1\r\nHost: x\r\n\r\n", p.query))
		if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.HasPrefix(got, "HTTP/1.1 200 OK") || !strings.Contains(got, "Connection: close") {
			t.Errorf("answered with %q", got)
		}
		p.want("40{*")
	}},
	{"O13b", "so it is with TLS", func(t *testing.T, w *world) {
		a := certstest.New(t)
		cert, key, _ := a.Write(t.TempDir(), "broker")
		s := w.with(t, "--http-tls-cert", cert, "--http-tls-key", key, "--operator-tls-cert", cert, "--operator-tls-key", key,
			"--ping-timeout", "25s")
		for address, path := range map[string]string{s.broker.HTTP: "/socket.io/?" + polling4, s.broker.Operators: "/healthz?a"} {
			answeredOnce(t, func() (net.Conn, error) {
				return tls.Dial("tcp", address, a.Client(""))
			}, path)
		}
	}},
	{"O13c", "so it is at the operators' listener", func(t *testing.T, w *world) {
		s := w.with(t)
		for _, path := range []string{"/healthz?a", "/metrics?a", "/api/v1/emit?a", "/elsewhere?a"} {
			answeredOnce(t, plainly(s.broker.Operators), path)
		}
	}},
	{"O13d", "so it is where replicas forward requests, and for a request that is forwarded", func(t *testing.T, w *world) {
		near, far := w.replicas(t)
		answeredOnce(t, plainly(near.broker.HTTP), "/socket.io/?"+polling4+"&sid="+far.polling(t).open.SID)
	}},
	{"O13g", "the same holds at forward-address, for every client", func(t *testing.T, w *world) {
		nats, err := process.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		forward, err := process.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		w.with(t, "--nats-listen", nats, "--forward-address", forward)
		answeredOnce(t, plainly(forward), "/socket.io/?"+polling4)
	}},
	{"O13e", "so it is for a request to the upstream application", func(t *testing.T, w *world) {
		answeredOnce(t, plainly(w.with(t, "--upstream", echoUpstream(t)).broker.HTTP), "/page?a")
	}},
	{"O13f", "the services' listener speaks HTTP/2 alone", func(t *testing.T, w *world) {
		s := w.with(t)
		for name, rest := range unclear {
			got := conversation(t, plainly(s.broker.Services), "POST / HTTP/1.1\r\nHost: x\r\n"+rest+"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if strings.Contains(got, "HTTP/1.") {
				t.Errorf("%s: answered with %q", name, got)
			}
		}
	}},
}
