// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets that are 1/32 of their value wide, so a percentile is right
// to about 3 %, from 1 ns to 18 minutes. Recording does not allocate and may be done by many
// goroutines.
type Histogram struct {
	counts [histogramRows * histogramColumns]atomic.Uint64
	max    atomic.Int64
}

const (
	histogramColumns = 32 // per power of two
	histogramRows    = 36
)

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(d)].Add(1)
	for {
		was := h.max.Load()
		if int64(d) <= was || h.max.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

// bucket: below 32 ns one bucket per nanosecond; then the row is the power of two, the column the
// five bits below the highest.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < histogramColumns {
		return int(v)
	}
	row := bits.Len64(v) - 5
	column := v >> (row - 1) & (histogramColumns - 1)
	return min(row*histogramColumns+int(column), histogramRows*histogramColumns-1)
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	row, column := i/histogramColumns, uint64(i%histogramColumns)
	if row == 0 {
		return time.Duration(column)
	}
	return time.Duration((histogramColumns+column+1)<<(row-1) - 1)
}

// Count is how many durations were recorded.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile gives the duration that the share q of all does not pass; 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(total)+0.5), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return min(upper(i), h.Max())
		}
	}
	return h.Max()
}

// Max gives the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// Reset forgets everything.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.max.Store(0)
}
