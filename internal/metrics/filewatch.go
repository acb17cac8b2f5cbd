// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/prometheus/client_golang/prometheus"

// FileWatch counts the reloads of watched files, by what they hold.
type FileWatch struct {
	Loaded Counters
	Failed Counters
	Stale  Gauges // 1 while the files cannot be used and the earlier content stays in force
}

// NewFileWatch makes and registers the metrics; r may be nil.
func NewFileWatch(r prometheus.Registerer) *FileWatch {
	s := subsystem{"filewatch", r}
	file := one("file", "callers", "browsers_certificate", "cluster_certificate", "operators_certificate", "services_certificate")
	return &FileWatch{
		Loaded: s.counters("reloads_total", "Reloads of changed files, by content.", file),
		Failed: s.counters("failures_total", "Changed files that could not be used, by content; the log has the reason.", file),
		Stale:  s.gauges("stale", "1 while the files cannot be used and the earlier content stays in force, else 0.", file),
	}
}
