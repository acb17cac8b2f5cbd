// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"testing"
)

// The reference names the metrics of every room with their kinds and labels, and each is explained
// in a sentence.
func TestDocument(t *testing.T) {
	document := Document()
	for _, want := range []string{
		"| `spanwire_engine_sessions` | gauge | transport | ",
		"| `spanwire_engine_closed_total` | counter | transport, reason | ",
		"| `spanwire_hub_deliveries_total` | counter |  | ",
		"| `spanwire_dispatch_open_seconds` | histogram |  | ",
		"| `spanwire_build_info` | gauge | version | ",
		"\n## bridge\n", "\n## mesh\n", "\n## backplane\n", "\n## edge\n",
	} {
		if !strings.Contains(document, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, m := range described() {
		if !strings.HasSuffix(m.help, ".") || len(m.help) < 10 {
			t.Errorf("%s is not explained: %q", m.name, m.help)
		}
		if total := strings.HasSuffix(m.name, "_total"); total != (m.kind == "counter") {
			t.Errorf("%s is a %s: counters, and only they, end in _total", m.name, m.kind)
		}
	}
}
