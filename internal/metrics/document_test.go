// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The reference names the metrics of every subsystem with their kinds, labels and values.
func TestDocument(t *testing.T) {
	document := Document()
	for _, want := range []string{
		"| `spanwire_engine_sessions` | gauge | `transport`: `polling`, `websocket` | ",
		"| `spanwire_hub_deliveries_total` | counter |  | ",
		"| `spanwire_dispatch_duration_seconds` | histogram |  | ",
		"| `spanwire_dispatch_absent_service_held_connects` | gauge | `service`: names of services | ",
		"| `spanwire_build_info` | gauge | `version`: versions of the broker | ",
		"\n## bridge\n", "\n## mesh\n", "\n## backplane\n", "\n## edge\n",
	} {
		if !strings.Contains(document, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

var (
	word     = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	fullName = regexp.MustCompile(`^spanwire_[a-z]+(_[a-z0-9]+)+$`)
	// labelWords are the words that labels have, one for each idea.
	labelWords = []string{"direction", "file", "kind", "listener", "location", "outcome", "reason", "service", "transport", "version"}
)

// Names, labels and values have one form, each label is one of the known words, and each metric is
// explained in a sentence.
func TestDeclarations(t *testing.T) {
	known := strings.Join(labelWords, " ")
	for _, m := range described() {
		if !fullName.MatchString(m.name) {
			t.Errorf("%s is no name of a metric", m.name)
		}
		if !strings.HasSuffix(m.help, ".") || len(m.help) < 10 {
			t.Errorf("%s is not explained: %q", m.name, m.help)
		}
		if total := strings.HasSuffix(m.name, "_total"); total != (m.kind == "counter") {
			t.Errorf("%s is a %s: counters, and only they, end in _total", m.name, m.kind)
		}
		for _, l := range m.labels {
			if !strings.Contains(known, l.name) {
				t.Errorf("%s has the label %s; use one of: %s", m.name, l.name, known)
			}
			if (len(l.values) > 0) == (l.open != "") {
				t.Errorf("%s: the label %s needs either its values or what they are", m.name, l.name)
			}
			for _, v := range l.values {
				if !word.MatchString(v) {
					t.Errorf("%s: the value %q of the label %s is not in snake case", m.name, v, l.name)
				}
			}
		}
	}
}

// What is exported and not declared is found: a metric, a label, and a value.
func TestUndeclared(t *testing.T) {
	r := prometheus.NewRegistry()
	NewUpstream(r).With("slow body").Inc()
	if all, err := Undeclared(r); err != nil || len(all) != 0 {
		t.Errorf("%q, %v", all, err)
	}
	r = prometheus.NewRegistry()
	NewUpstream(r).With("whatever").Inc()
	subsystem{"upstream", r}.counter("surprises_total", "Surprises.")
	if all, err := Undeclared(r); err != nil || len(all) != 2 {
		t.Errorf("%q, %v", all, err)
	}
	for name, pairs := range map[string][]string{
		"spanwire_upstream_surprises_total": nil,
		"spanwire_upstream_failures_total":  {`cause="slow_body"`},
		"spanwire_engine_sessions":          {`transport="pigeon"`},
	} {
		if Declared(name, pairs...) == nil {
			t.Errorf("%s with %q is taken for declared", name, pairs)
		}
	}
	if err := Declared("spanwire_upstream_failures_total", `reason="slow_body"`); err != nil {
		t.Error(err)
	}
}
