// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// Idempotency counts calls with idempotency keys.
type Idempotency struct {
	Keys        Gauge
	Bytes       Gauge
	Replayed    Counter
	Conflicts   Counter
	Evicted     Counter
	Unconfirmed Counter
}

// NewIdempotency makes and registers the metrics; r may be nil.
func NewIdempotency(r prometheus.Registerer) *Idempotency {
	s := subsystem{"idempotency", r}
	return &Idempotency{
		Keys:      s.gauge("keys", "Idempotency keys that are known: those of running calls and those that are remembered."),
		Bytes:     s.gauge("bytes", "Bytes of the answers that are remembered for idempotency keys."),
		Replayed:  s.counter("replayed_calls_total", "Calls that got the answer of an earlier call with their idempotency key, and were not carried out again."),
		Conflicts: s.counter("key_conflicts_total", "Calls rejected because their idempotency key was used for a different request."),
		Evicted: s.counter("evicted_keys_total", "Idempotency keys evicted before idempotency-window ended, because of max-idempotency-keys or "+
			"max-idempotency-bytes."),
		Unconfirmed: s.counter("unconfirmed_calls_total", "Calls with idempotency keys that were carried out although a replica did not say whether it knows the key."),
	}
}
