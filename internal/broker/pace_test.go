// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// drip gives bytes at a pace, and keeps the deadline as a connection does.
type drip struct {
	piece    int
	pause    time.Duration
	total    int
	deadline time.Time
}

func (d *drip) setDeadline(t time.Time) error { d.deadline = t; return nil }

func (d *drip) Read(p []byte) (int, error) {
	if d.total == 0 {
		return 0, io.EOF
	}
	due := time.Now().Add(d.pause)
	if !d.deadline.IsZero() && due.After(d.deadline) {
		time.Sleep(time.Until(d.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(d.pause)
	n := min(d.piece, d.total, len(p))
	d.total -= n
	return n, nil
}

func (*drip) Close() error { return nil }

// A body may last as long as it flows, and no longer.
func TestPacedBody(t *testing.T) {
	const window, rate = 30 * time.Second, 500
	for name, c := range map[string]struct {
		drip
		want  error
		lasts time.Duration // at most
	}{
		"trickle":            {drip{piece: 1, pause: 5 * time.Second, total: 1 << 20}, errSlowBody, window},
		"nothing":            {drip{piece: 1, pause: time.Hour, total: 1}, errSlowBody, window},
		"short and slow":     {drip{piece: 10, pause: 3 * time.Second, total: 90}, nil, window},
		"large and steady":   {drip{piece: 6000, pause: 10 * time.Second, total: 6_000_000}, nil, 3 * time.Hour},
		"just too slow":      {drip{piece: 4900, pause: 10 * time.Second, total: 6_000_000}, errSlowBody, window},
		"larger than buffer": {drip{piece: 1 << 20, pause: 0, total: 10 << 20}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				b := newPacedBody(&c.drip, c.setDeadline, window, rate)
				_, err := io.Copy(io.Discard, b)
				if !errors.Is(err, c.want) || time.Since(begin) > c.lasts {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
				if err == nil && !c.deadline.IsZero() {
					t.Error("the deadline was not taken back")
				}
			})
		})
	}
}

// A burst earns no time for what follows it.
func TestPacedBody_Burst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drip{piece: 1 << 20, total: 10<<20 + 100}
		b := newPacedBody(d, d.setDeadline, 30*time.Second, 500)
		if _, err := io.CopyN(io.Discard, b, 10<<20); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		d.piece, d.pause = 1, 5*time.Second
		if _, err := io.Copy(io.Discard, b); !errors.Is(err, errSlowBody) || time.Since(begin) > 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// The time in which nobody reads does not count, and what broke stays broken.
func TestPacedBody_Unread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drip{piece: 1, pause: time.Second, total: 10}
		b := newPacedBody(d, d.setDeadline, 30*time.Second, 500)
		p := make([]byte, 1)
		for range 5 {
			if _, err := b.Read(p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if err := b.end(); err != nil {
			t.Error(err)
		}
		if _, err := b.Read(p); err == nil {
			t.Error("it can be read after its end")
		}
		d.pause = time.Hour
		b = newPacedBody(d, d.setDeadline, 30*time.Second, 0)
		for range 2 {
			if _, err := b.Read(p); !errors.Is(err, errSlowBody) {
				t.Error(err)
			}
		}
		if err := b.end(); !errors.Is(err, errSlowBody) {
			t.Error(err)
		}
	})
}
