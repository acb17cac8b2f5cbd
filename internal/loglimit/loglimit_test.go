// SPDX-License-Identifier: Apache-2.0

package loglimit

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Many lines must not fill the log, and the number of suppressed lines must be returned.
func TestLimiter(t *testing.T) {
	for perSecond, want := range map[int]int{0: 100, 3: 30} {
		synctest.Test(t, func(t *testing.T) {
			l := Limiter{PerSecond: perSecond}
			lines, suppressed := 0, 0
			for range 10 {
				for range 100 {
					if ok, n := l.Allow(); ok {
						lines++
						suppressed += n
					}
				}
				time.Sleep(time.Second)
			}
			if lines != want || suppressed != 9*(100-want/10) {
				t.Errorf("%d a second: %d lines, %d suppressed", perSecond, lines, suppressed)
			}
		})
	}
}

// A flood of one cause must hide no line of another.
func TestByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := ByReason{PerSecond: 1}
		for i, c := range []struct {
			cause      string
			ok         bool
			suppressed int
		}{{"a", true, 0}, {"a", false, 0}, {"a", false, 0}, {"b", true, 0}, {"", true, 0}} {
			if ok, n := b.Allow(c.cause); ok != c.ok || n != c.suppressed {
				t.Errorf("%d: got %v %d", i, ok, n)
			}
		}
		time.Sleep(time.Second)
		if ok, n := b.Allow("a"); !ok || n != 2 {
			t.Errorf("later: got %v %d", ok, n)
		}
	})
}

// With a window of its own a limiter lets lines through once in that time.
func TestLimiter_Window(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ByReason{PerSecond: 1, Window: time.Minute}
		for i, want := range []bool{true, false, true} {
			if ok, _ := l.Allow("x"); ok != want {
				t.Errorf("line %d: %v", i, ok)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// What a browser chose is cut, and never within a character.
func TestCut(t *testing.T) {
	if got := Cut("short"); got != "short" {
		t.Error(got)
	}
	if got := Cut(strings.Repeat("x", 127) + "€" + strings.Repeat("y", 1000)); got != strings.Repeat("x", 127)+"..." {
		t.Error(got)
	}
}
