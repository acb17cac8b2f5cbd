// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// NewUpstream makes the counters of requests to the web application that failed.
func NewUpstream(r prometheus.Registerer) Counters {
	s := subsystem{"upstream", r}
	return s.counters("failures_total", "Requests to the web application (setting upstream) that failed, by reason.",
		reason("slow_answer", "slow_body", "unreachable"))
}
