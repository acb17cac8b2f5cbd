// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// careless is a server that acks events by their numbers: those that end in 1 twice, those that end
// in 2 wrongly at first.
func careless(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		say := func(format string, args ...any) {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(fmt.Sprintf(format, args...)))
		}
		say(`0{"sid":"x"}`)
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			var id, client, number int
			if _, err := fmt.Sscanf(string(data), `42%d["number",%d,%d,`, &id, &client, &number); err != nil {
				if string(data) == "40" {
					say(`40{"sid":"y"}`)
				}
				continue
			}
			if number%10 == 2 {
				say("43%d[%d]", id, number+1)
			}
			say("43%d[%d]", id, number)
			if number%10 == 1 {
				say("43%d[%d]", id, number)
			}
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// Every ack is found in the books: the right, the repeated and the wrong.
func TestNumbering_OK(t *testing.T) {
	f, err := Connect(context.Background(), Options{Address: careless(t), Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := f.Number(Numbers{Event: "number", PerSecond: 1000, Padding: 3})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Reach(ctx, n.Sent, 50); err != nil {
		t.Fatal(err)
	}
	if err := n.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if n.Acked() != n.Sent() || n.Repeated() < 4 || n.Wrong() < 4 || f.Disconnects() != 0 {
		t.Errorf("sent %d, acked %d, repeated %d, wrong %d, disconnects %d", n.Sent(), n.Acked(), n.Repeated(), n.Wrong(), f.Disconnects())
	}
}

// What is not acked is missed, and a connection that is lost is counted.
func TestNumbering_Err(t *testing.T) {
	f, err := Connect(context.Background(), Options{Address: careless(t), Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = f.clients[1].conn.CloseRead()
	n := f.Number(Numbers{Event: "nothing", PerSecond: 1000, Most: 2})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Settle(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("settled with %v", err)
	}
	if n.Sent() != 2 {
		t.Errorf("sent %d", n.Sent())
	}
	if f.Disconnects() != 1 {
		t.Errorf("%d disconnects", f.Disconnects())
	}
}
