// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/metrics"
)

// counted are words that packages pass as values of a label: where they are written, and the metric
// and label that they are for.
var counted = []struct {
	dir, pattern, metric, label string
	least                       int // so many are found at least
}{
	{"internal/sio/", `(?m)^\tReason\w+\s+Reason = "([a-z ]+)"`, "spanwire_engine_closed_sessions_total", "reason", 12},
	{"internal/sio/", `(?m)^\tReason\w+\s+Reason = "([a-z ]+)"`, "spanwire_edge_disconnects_total", "reason", 12},
	{"internal/edge/engineio/", `&re(?:fusal|jection)\{[^}]*?\b(?:cause|reason): "([a-z ]+)"`, "spanwire_engine_rejected_requests_total", "reason", 15},
	{"internal/edge/engineio/", `\blimited\(sio\.\w+, \w+, "([a-z ]+)"`, "spanwire_engine_rejected_requests_total", "reason", 2},
	{"internal/edge/engineio/slow.go", `\b(?:Cause|Reason): "([a-z_]+)"`, "spanwire_engine_slow_sessions_total", "reason", 3},
	{"internal/edge/breach.go", `(?m)^\t(?:cause|reason|breach)\w+\s+= "([a-z_]+)"`, "spanwire_edge_protocol_violations_total", "reason", 7},
	{"internal/edge/socketio/", `newError\(Verdict\w+, "([a-z_]+)"`, "spanwire_edge_protocol_violations_total", "reason", 18},
	{"internal/hub/", `(?m)^\tLoss\w+\s+Loss = "([a-z_]+)"`, "spanwire_edge_recoveries_total", "outcome", 4},
	{"internal/edge/recovery.go", `(?m)^\t(?:failed|outcome)\w+\s+= "([a-z_]+)"`, "spanwire_edge_recoveries_total", "outcome", 4},
	{"internal/broker/", `&re(?:fusal|jection)\{[^}]*?\breason: "([a-z_]+)"`, "spanwire_http_rejected_requests_total", "reason", 6},
	{"internal/broker/firstbytes.go", `(?m)^\tprotocol\w+\s+protocol = "([a-z0-9_]+)"`, "spanwire_listener_wrong_protocol_total", "reason", 4},
	{"internal/broker/upstream.go", `u\.answer\(w, r, "([a-z_]+)"`, "spanwire_upstream_failures_total", "reason", 3},
}

// Every word that a package counts under a label is declared with the metric.
func TestMetrics_Values(t *testing.T) {
	for _, c := range counted {
		words := regexp.MustCompile(c.pattern)
		found := 0
		for _, name := range files(t, ".go") {
			if !strings.HasPrefix(name, c.dir) || strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, m := range words.FindAllStringSubmatch(read(t, name), -1) {
				found++
				value := strings.ReplaceAll(m[1], " ", "_")
				if err := metrics.Declared(c.metric, c.label+"="+value); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if found < c.least {
			t.Errorf("%s: %d values of %s were found, less than %d: the pattern is out of date", c.dir, found, c.metric, c.least)
		}
	}
}
