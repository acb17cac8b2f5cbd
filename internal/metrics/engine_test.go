// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A session is in the gauge of its present transport, and leaves it when it closes; traffic is
// counted without allocations.
func TestEngine(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewEngine(r)
	m.Opened("polling")
	m.Opened("polling")
	m.Upgraded()
	m.UpgradeFailed()
	m.Closed("websocket", "ping timeout")
	m.Refused("origin")
	if n := testing.AllocsPerRun(10, func() { m.Received("websocket", 10) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	m.Sent("polling", 2, 30)
	want := `
# HELP spanwire_engine_sessions Sessions that are open, by transport.
# TYPE spanwire_engine_sessions gauge
spanwire_engine_sessions{transport="polling"} 1
spanwire_engine_sessions{transport="websocket"} 0
# HELP spanwire_engine_upgrades_total Upgrades from polling to WebSocket, by outcome.
# TYPE spanwire_engine_upgrades_total counter
spanwire_engine_upgrades_total{outcome="completed"} 1
spanwire_engine_upgrades_total{outcome="failed"} 1
# HELP spanwire_engine_closed_sessions_total Sessions closed, by last transport and reason.
# TYPE spanwire_engine_closed_sessions_total counter
spanwire_engine_closed_sessions_total{reason="ping_timeout",transport="websocket"} 1
# HELP spanwire_engine_received_bytes_total Bytes of messages from browsers, by transport.
# TYPE spanwire_engine_received_bytes_total counter
spanwire_engine_received_bytes_total{transport="polling"} 0
spanwire_engine_received_bytes_total{transport="websocket"} 110
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "spanwire_engine_sessions", "spanwire_engine_upgrades_total",
		"spanwire_engine_closed_sessions_total", "spanwire_engine_received_bytes_total"); err != nil {
		t.Error(err)
	}
}
