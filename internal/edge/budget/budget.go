// SPDX-License-Identifier: Apache-2.0

// Package budget counts the bytes that a replica holds for browsers that have not taken them.
// Transports add what they cannot write at once and subtract what left or was dropped. Bytes that
// many sessions share count once, however many sessions hold them: that is what they cost. The
// budget closes no session itself; its owner does, when it is notified that the budget runs short.
package budget

import "sync/atomic"

// Budget bounds what waits for all browsers together. All methods of a nil Budget do nothing.
type Budget struct {
	limit   int64
	short   func()
	changed func(bytes int)
	held    atomic.Int64
}

// New makes a Budget of limit bytes. short is called whenever bytes are added while more than half
// of the budget is held, and changed with each change, both under locks of the caller: they must
// not block.
func New(limit int64, short func(), changed func(bytes int)) *Budget {
	return &Budget{limit: limit, short: short, changed: changed}
}

// Limit is the size of the budget.
func (b *Budget) Limit() int64 { return b.limit }

// Held is how many bytes are held now.
func (b *Budget) Held() int64 { return b.held.Load() }

// Short tells that more than half of the budget is held.
func (b *Budget) Short() bool { return b.held.Load() > b.limit/2 }

// Add counts bytes that are held from now on.
func (b *Budget) Add(bytes int) {
	if b == nil || bytes == 0 {
		return
	}
	b.changed(bytes)
	if b.held.Add(int64(bytes)) > b.limit/2 {
		b.short()
	}
}

// Sub counts bytes that are held no more.
func (b *Budget) Sub(bytes int) {
	if b == nil || bytes == 0 {
		return
	}
	b.held.Add(-int64(bytes))
	b.changed(-bytes)
}

// Shared holds bytes that several sessions may hold at a time. The bytes must not change.
type Shared struct {
	Data    []byte
	holders atomic.Int32
}

// NewShared makes a Shared that nobody holds yet.
func NewShared(data []byte) *Shared { return &Shared{Data: data} }

// Hold counts one more holder. Only the first adds to the budget.
func (s *Shared) Hold(b *Budget) {
	if s.holders.Add(1) == 1 {
		b.Add(len(s.Data))
	}
}

// Release takes a holder back. The last one subtracts from the budget.
func (s *Shared) Release(b *Budget) {
	if s.holders.Add(-1) == 0 {
		b.Sub(len(s.Data))
	}
}
