// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/loadgen"
)

// The paths are compared with a lone event's direct one, replicas and handler apart; what was not
// measured is left out.
func TestResults_paths(t *testing.T) {
	r := newResults()
	add := func(scenario, target string, brokers int, cpu ...time.Duration) {
		r.add(&measurement{
			scenario: scenario, target: target, brokers: brokers, cpu: cpu,
			traffic: &loadgen.Traffic{Events: 1000, Elapsed: time.Second, Latency: &loadgen.Histogram{}},
		})
	}
	add("echo-1000x4", "go", 1, 10*time.Millisecond, 5*time.Millisecond)
	if rows := r.pathRows(); rows != nil {
		t.Errorf("rows without the first: %v", rows)
	}
	add("echo-1x1", "go", 1, 60*time.Millisecond, 40*time.Millisecond)
	add("echo-1x1", "backplane", 2, 80*time.Millisecond, 100*time.Millisecond, 60*time.Millisecond)
	add("echo-1x1", "node", 1, 25*time.Millisecond)
	var out strings.Builder
	r.markdown(&out, scenarios)
	for _, want := range []string{
		"| direct, one event at a time | 60.00 |  | 40.00 | 100.00 | 1.00 | 1.00 | 1.00 |",
		"| direct, at saturation | 10.00 |  | 5.00 | 15.00 | 0.17 | 0.12 | 0.15 |",
		"| over the backplane, one event at a time | 80.00 | 100.00 | 60.00 | 240.00 | 3.00 | 1.50 | 2.40 |",
		"| Node, one event at a time |  |  |  | 25.00 |  |  | 0.25 |",
		"| echo-1x1 | go | 1000 | 100.0 | 60.0 + 40.0 |",
		"|  | backplane | 1000 | 240.0 | 180.0 + 60.0 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "over the backplane, at saturation") {
		t.Error("a path that was not measured is reported")
	}
}
