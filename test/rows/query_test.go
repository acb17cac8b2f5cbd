// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// handshake is how a handler describes the request that opened a session.
type handshake struct {
	URL     string
	Address string
	Auth    json.RawMessage
	Query   map[string][]string
	Headers map[string][]string
}

// parseHandshake reads the handler's answer to the event "handshake" with the ack id 1.
func parseHandshake(t *testing.T, packet string) handshake {
	t.Helper()
	var list []handshake
	if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "431")), &list); err != nil || len(list) != 1 {
		t.Fatalf("the handshake is %s", packet)
	}
	return list[0]
}

// handshake opens a session on WebSocket with more in its query and headers, and tells what the
// handler sees of it.
func (s *server) handshake(t *testing.T, query string, headers ...string) handshake {
	t.Helper()
	c := s.mustDial(t, websocket4+query, headers...)
	c.send("40")
	c.want("0{*", "40{*")
	c.send(`421["handshake"]`)
	return parseHandshake(t, c.next())
}

var queryRows = []row{
	{"O21", "handlers get every pair of a query, whatever stands in it", func(t *testing.T, w *world) {
		s := w.with(t)
		var v struct {
			Cases []struct {
				Name, Query string
				Values      map[string][]string
			}
		}
		vectors(t, "queries.json", &v)
		for _, c := range v.Cases {
			if c.Values["EIO"] != nil {
				continue // it would stand twice
			}
			c.Values["EIO"], c.Values["transport"] = []string{"4"}, []string{"websocket"}
			got := s.handshake(t, "&"+c.Query)
			if !reflect.DeepEqual(got.Query, c.Values) || got.URL != "/socket.io/?"+websocket4+"&"+c.Query {
				t.Errorf("%s: the handler gets %q of %s, want %q", c.Name, got.Query, got.URL, c.Values)
			}
		}
		p := &poller{t, s, polling4, openData{}}
		for _, pair := range []string{"token=a;b", "token=100%", "token=%zz", "%=1", "sid", "sid=%zz"} {
			p.query = pair + "&" + polling4
			a := p.get()
			if strings.HasPrefix(pair, "sid") {
				refusedWith(t, a, 400, unknownSession)
				continue
			}
			if p.query += "&sid=" + parseOpen(t, a.body).SID; p.post("40").body != "ok" {
				t.Errorf("a session is not found beside %s", pair)
			}
		}
	}},
	{"O21b", "the query of a namespace reaches handlers of old clients whole", func(t *testing.T, w *world) {
		c := w.with(t, revision3...).mustDial(t, websocket3)
		c.want("0{*", "40")
		c.send("40/custom?token=100%&b=x;y&b=%zz+%E2%82%AC&=,")
		c.want("40/custom,")
		c.send(`42/custom,1["handshake"]`)
		got := parseHandshake(t, strings.Replace(c.next(), "43/custom,1", "431", 1))
		var auth map[string]any
		want := map[string]any{"token": "100%", "b": []any{"x;y", "%zz €"}, "": ""}
		if err := json.Unmarshal(got.Auth, &auth); err != nil || !reflect.DeepEqual(auth, want) {
			t.Errorf("the handler gets %s", got.Auth)
		}
	}},
	{"O21c", "a query reaches the upstream application as it was sent", func(t *testing.T, w *world) {
		s := w.with(t, "--upstream", echoUpstream(t))
		for _, query := range []string{"token=a;b", "token=100%", "a=1&token=%zz&a=2", "&&=&", "q=a+b%20c", "", "a=%00"} {
			if got, want := s.throughUpstream(t, "/page?"+query).Get("Request-Uri"), fmt.Sprint("/page?", query); got != want {
				t.Errorf("the application gets %s, want %s", got, want)
			}
		}
	}},
}
