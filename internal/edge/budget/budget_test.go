// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"sync"
	"testing"
)

func TestBudget(t *testing.T) {
	short, sum := 0, 0
	b := New(100, func() { short++ }, func(n int) { sum += n })
	b.Add(50)
	if b.Short() || short != 0 {
		t.Error("half of the budget is short")
	}
	b.Add(1)
	if !b.Short() || short != 1 {
		t.Errorf("more than half: short %v, notified %d times", b.Short(), short)
	}
	b.Sub(51)
	if b.Held() != 0 || sum != 0 || b.Limit() != 100 {
		t.Errorf("held %d, notified %d", b.Held(), sum)
	}
	var none *Budget
	none.Add(1)
	none.Sub(1)
}

// What many hold counts once, from the first to the last of them.
func TestShared(t *testing.T) {
	b := New(1000, func() {}, func(int) {})
	s := NewShared(make([]byte, 300))
	for range 200 {
		s.Hold(b)
	}
	if b.Held() != 300 {
		t.Errorf("200 holders of 300 bytes hold %d", b.Held())
	}
	for range 199 {
		s.Release(b)
	}
	if b.Held() != 300 {
		t.Errorf("the last holder holds %d", b.Held())
	}
	s.Release(b)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				s.Hold(b)
				s.Release(b)
			}
		})
	}
	all.Wait()
	if b.Held() != 0 {
		t.Errorf("nobody holds %d", b.Held())
	}
}
