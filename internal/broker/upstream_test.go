// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// behind starts a broker with a web application behind it.
func behind(t *testing.T, app http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	return brokertest.Start(t, func(c *broker.Config) { c.Listen.Upstream.URL = server.URL }).HTTPAddress()
}

// What is not Socket.IO reaches the application as the browser sent it; Socket.IO never does.
func TestUpstream(t *testing.T) {
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s host=%s for=%s", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Forwarded-For"))
	})
	for _, path := range []string{"/", "/a//b/../c?x=1&y=%20", "/socket.io", "/socket.iox/"} {
		code, body := get(t, "http://"+address+path)
		if want := "GET " + path + " host=" + address + " for=127.0.0.1"; code != http.StatusTeapot || body != want {
			t.Errorf("%d %s, want %s", code, body, want)
		}
	}
	if code, body := get(t, "http://"+address+"/socket.io/?EIO=4&transport=polling"); code != 200 || !strings.HasPrefix(body, "0{") {
		t.Errorf("Socket.IO: %d %s", code, body)
	}
}

// What a trusted proxy says of a request reaches the application, and what others say does not.
func TestUpstream_TrustedProxies(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprint(w, h["X-Forwarded-For"], h["X-Forwarded-Proto"], h["X-Forwarded-Host"], h["X-Forwarded-Port"])
	}))
	t.Cleanup(app.Close)
	said := []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.test", "X-Forwarded-Port", "8443"}
	for proxies, c := range map[string]struct{ said, silent string }{
		"127.0.0.0/8":  {"[192.0.2.1, 127.0.0.1] [https] [app.test] [8443]", "[127.0.0.1] [http] [SELF] []"},
		"192.0.2.0/24": {"[127.0.0.1] [http] [SELF] []", "[127.0.0.1] [http] [SELF] []"},
	} {
		b := brokertest.Start(t, func(o *broker.Config) { o.Listen.Upstream.URL, o.Listen.TrustedProxies = app.URL, []string{proxies} })
		for want, headers := range map[string][]string{c.said: said, c.silent + " ": nil} {
			want = strings.ReplaceAll(strings.TrimSpace(want), "SELF", b.HTTPAddress())
			if _, body := get(t, "http://"+b.HTTPAddress()+"/", headers...); body != want {
				t.Errorf("%s: got %s, want %s", proxies, body, want)
			}
		}
	}
}

// A WebSocket of the application's own passes through.
func TestUpstream_WebSocket(t *testing.T) {
	var upgrader websocket.Upgrader
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		kind, data, err := c.ReadMessage()
		if err == nil {
			err = c.WriteMessage(kind, append([]byte("echo "), data...))
		}
		if err != nil {
			t.Error(err)
		}
	})
	c, response, err := websocket.DefaultDialer.DialContext(testContext(t), "ws://"+address+"/own", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := c.ReadMessage(); err != nil || string(data) != "echo hi" {
		t.Errorf("%q %v", data, err)
	}
	if _, _, err := c.ReadMessage(); err == nil {
		t.Error("the application's end did not come through")
	}
}

// An application that is not up is explained: to people with a page that looks again, to programs
// in plain words.
func TestUpstream_Away(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	address := brokertest.Start(t, func(c *broker.Config) { c.Listen.Upstream.URL = server.URL }).HTTPAddress()
	if code, body := get(t, "http://"+address+"/<x>", "Accept", "text/html,*/*"); code != 502 || !strings.Contains(body, "--upstream") ||
		!strings.Contains(body, `http-equiv="refresh"`) {
		t.Errorf("a person: %d %s", code, body)
	}
	if code, body := get(t, "http://"+address+"/"); code != 502 || strings.Contains(body, "<p>") || !strings.Contains(body, "setting upstream") {
		t.Errorf("a program: %d %s", code, body)
	}
}

// Without an application, other paths say what is served here.
func TestUpstream_None(t *testing.T) {
	address := brokertest.Start(t).HTTPAddress()
	if code, body := get(t, "http://"+address+"/<b>", "Accept", "text/html"); code != 404 || !strings.Contains(body, "/&lt;b&gt;") ||
		!strings.Contains(body, "broker dev") || strings.Contains(body, "refresh") {
		t.Errorf("%d %s", code, body)
	}
}

// An answer that never ends arrives as it is written.
func TestUpstream_Streams(t *testing.T) {
	more := make(chan struct{})
	address := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "one")
		w.(http.Flusher).Flush()
		<-more
		fmt.Fprint(w, "two")
	})
	r, err := http.NewRequestWithContext(testContext(t), http.MethodGet, "http://"+address+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "one" {
		t.Errorf("%q %v", first, err)
	}
	close(more)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "two" {
		t.Errorf("%q %v", rest, err)
	}
}
