// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// post calls the HTTP API of the broker.
func post(t *testing.T, b *broker.Broker, path, body string, header ...string) (code int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, "http://"+b.OperatorAddress()+"/api/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(data))
}

// By HTTP a program reaches the sockets of all replicas, moves them, and sees them; asked twice
// under a key, the broker emits once.
func TestCluster_HTTP(t *testing.T) {
	all := brokertest.Cluster(t, 2)
	attach(t, all[0], "handler")
	visit(t, all[0])
	visit(t, all[1])
	first, second := all[0], all[1]
	for _, tt := range []struct {
		b                *broker.Broker
		path, body, want string
	}{
		{first, "emit", `{"event":"x","args":[1],"count":true,"idempotency_key":"k"}`, `{"sockets":2,"silent_replicas":[],"replayed":false}`},
		{second, "emit", `{"event":"x","args":[1],"count":true,"idempotency_key":"k"}`, `{"sockets":2,"silent_replicas":[],"replayed":true}`},
		{first, "join", `{"join":["vip"]}`, `{"sockets":1,"silent_replicas":[],"replayed":false}`},
	} {
		if code, got := post(t, tt.b, tt.path, tt.body); code != http.StatusOK || got != tt.want {
			t.Errorf("%s %s: %d %s, want %s", tt.path, tt.body, code, got, tt.want)
		}
	}
	for { // the join is published to the other replica, and not awaited there
		const want = `{"rooms":[{"name":"vip","sockets":2}],"truncated":false,"silent_replicas":[]}`
		code, got := post(t, second, "rooms", `{}`)
		if code == http.StatusOK && got == want {
			break
		}
		if t.Context().Err() != nil || code != http.StatusOK {
			t.Fatalf("rooms: %d %s, want %s", code, got, want)
		}
	}
	var found struct {
		Sockets []struct {
			SocketID  string `json:"socket_id"`
			Handshake struct{ Transport string }
		}
	}
	code, body := get(t, "http://"+second.OperatorAddress()+"/api/v1/sockets?rooms=vip")
	if err := json.Unmarshal([]byte(body), &found); code != http.StatusOK || err != nil || len(found.Sockets) != 2 || found.Sockets[0].Handshake.Transport != "polling" {
		t.Errorf("%d %s %v", code, body, err)
	}
	if code, got := post(t, second, "disconnect", `{"rooms":["vip"]}`); code != http.StatusOK {
		t.Errorf("%d %s", code, got)
	}
	for code := 0; code != http.StatusNotFound; { // nor is the disconnect
		var got string
		code, got = post(t, first, "call", `{"event":"anybody?","rooms":["vip"],"timeout_ms":100}`)
		if code != http.StatusNotFound && code != http.StatusGatewayTimeout {
			t.Fatalf("%d %s", code, got)
		}
	}
}

// With tokens each call must show one; without, nobody may call when other machines reach the
// listener.
func TestHTTP_credentials(t *testing.T) {
	const token = "a token of the services"
	b := brokertest.Start(t, func(c *broker.Config) { c.Listen.ServiceTokens = []string{strings.ReplaceAll(token, " ", "-")} })
	for shown, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer " + strings.ReplaceAll(token, " ", "-"): 200} {
		if code, body := post(t, b, "emit", `{"event":"x"}`, "Authorization", shown); code != want {
			t.Errorf("%q: %d %s", shown, code, body)
		}
	}
	b = brokertest.Start(t, func(c *broker.Config) { c.Listen.OperatorAddress, c.Listen.InsecureOperator = "0.0.0.0:0", true })
	if code, body := post(t, b, "emit", `{"event":"x"}`); code != 403 || !strings.Contains(body, "service-tokens") {
		t.Errorf("%d %s", code, body)
	}
}
