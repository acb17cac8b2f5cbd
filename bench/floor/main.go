// SPDX-License-Identifier: Apache-2.0

// Command floor is what the benchmark compares everything to: a bare gorilla/websocket server that
// answers just enough of Socket.IO for the load generator and knows no rules. What it costs, a
// broker in Go can hardly go below.
package main

import (
	"bytes"
	"log"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: floor ADDRESS")
	}
	upgrader := &websocket.Upgrader{}
	http.HandleFunc("/socket.io/", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		serve(conn)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil)) //nolint:gosec // a benchmark on the loopback needs no deadlines
}

func serve(conn *websocket.Conn) {
	// The heartbeat is longer than any measurement.
	if conn.WriteMessage(websocket.TextMessage, []byte(`0{"sid":"floor","upgrades":[],"pingInterval":300000,"pingTimeout":20000,"maxPayload":1000000}`)) != nil {
		return
	}
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(websocket.TextMessage, answer(data)); err != nil {
			return
		}
	}
}

// answer makes `43ID[ARGUMENTS]` of `42ID["echo",ARGUMENTS]`, and accepts a connect.
func answer(data []byte) []byte {
	if bytes.Equal(data, []byte("40")) {
		return []byte(`40{"sid":"floor"}`)
	}
	data[1] = '3'
	return bytes.Replace(data, []byte(`"echo",`), nil, 1)
}
