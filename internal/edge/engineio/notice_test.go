// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// No reason of the closed list ends a session without a line, and what an operator can change is
// named where the line is a warning for that.
func TestEndings_Complete(t *testing.T) {
	source, err := os.ReadFile("../../sio/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`Reason\w+ +Reason = "([^"]+)"`).FindAllSubmatch(source, -1)
	if len(reasons) != len(endings) || len(reasons) < 12 {
		t.Errorf("%d reasons, %d notices", len(reasons), len(endings))
	}
	for _, m := range reasons {
		n := endings[sio.Reason(m[1])]
		if n == nil || n.Text == "" {
			t.Errorf("%s has no notice", m[1])
			continue
		}
		for word := range strings.FieldsSeq(n.Text) {
			if strings.HasPrefix(word, "max-") && strings.Trim(word, ",;") != n.Setting {
				t.Errorf("%s: the text names %s, the key is %q", m[1], word, n.Setting)
			}
		}
	}
	for cause, n := range upgradeFailures {
		if n.Text == "" {
			t.Errorf("%s has no text", cause)
		}
	}
}

// Each end of a session has one line, with its reason, the session and its address, and what comes
// too often is counted with the next.
func TestServer_NoteEnd(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w *world) {
		var log bytes.Buffer
		w.engine.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 3 {
			w.polling().rec.session.Close(sio.ReasonParseError)
		}
		w.polling().rec.session.Close(sio.ReasonTransportClose)
		time.Sleep(time.Second)
		last := w.polling().rec.session
		last.CloseNoted(sio.ReasonForcedServerClose, &Notice{Level: slog.LevelWarn, Cause: "x", Text: "for a test", Setting: "y", Facts: []any{"z", 1}})
		last.Close(sio.ReasonParseError)
		w.polling().rec.session.Close(sio.ReasonParseError)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines: %s", len(lines), &log)
		}
		for i, want := range []string{
			`level=WARN msg="session closed: an Engine.IO packet could not be read`,
			`level=WARN msg="session closed: for a test" reason=x session=` + last.Name() + ` address=192.0.2.7 transport=polling setting=y z=1`,
			`suppressed=2`,
		} {
			if !strings.Contains(lines[i], want) || strings.Contains(lines[i], string(last.ID())) {
				t.Errorf("got %s, want %s", lines[i], want)
			}
		}
	})
}

// Connections that end after the same time without bytes, at moments of their own, are cut by a
// proxy. Nothing else is taken for that.
func TestLosses(t *testing.T) {
	s := time.Second
	same := func(n int, idle, apart time.Duration) (all []loss) {
		for i := range n {
			all = append(all, loss{at: time.Duration(i) * apart, idle: idle + time.Duration(i%3)*time.Millisecond})
		}
		return all
	}
	mixed := func(all ...loss) []loss { return all }
	for name, c := range map[string]struct {
		losses []loss
		want   bool
	}{
		"a proxy": {same(5, 8*s, s), true},
		"a proxy, and clients that come together": {same(5, 8*s, 50*time.Millisecond), true},
		"too few":              {same(4, 8*s, s), false},
		"a proxy among others": {append(same(5, 3*s, s), same(6, 60*s, s)...), true},
		"a balancer that stops after a broadcast": {mixed(loss{10 * s, 7 * s}, loss{10*s + 1e6, 7*s + 1e6}, loss{10*s + 2e6, 7*s + 2e6}, loss{10*s + 4e6, 7*s + 4e6},
			loss{10*s + 7e6, 7*s + 7e6}), false},
		"a balancer that stops at once": {mixed(loss{10 * s, 7 * s}, loss{10 * s, 7*s + 9e6}, loss{10 * s, 7*s + 30e6}, loss{10 * s, 7 * s}, loss{10 * s, 7 * s}), false},
		"people": {mixed(loss{1 * s, 2 * s}, loss{2 * s, 5 * s}, loss{3 * s, 11 * s}, loss{4 * s, 2300e6}, loss{5 * s, 17 * s}, loss{6 * s, 8 * s},
			loss{7 * s, 2100e6}, loss{8 * s, 3 * s}, loss{9 * s, 21 * s}), false},
		"a proxy long ago": {append(same(4, 8*s, s), loss{at: time.Hour, idle: 8 * s}), false},
		"fewer than half": {append(append(same(4, 3*s, s), mixed(loss{9 * s, 5 * s}, loss{9 * s, 7 * s}, loss{9 * s, 9 * s}, loss{9 * s, 12 * s}, loss{9 * s, 16 * s},
			loss{9 * s, 20 * s}, loss{9 * s, 24 * s})...), loss{30 * s, 3 * s}), false},
	} {
		t.Run(name, func(t *testing.T) {
			var l losses
			found := time.Duration(0)
			for _, x := range c.losses {
				found = max(found, l.add(x))
			}
			if (found != 0) != c.want {
				t.Errorf("found %v", found)
			}
		})
	}
}

// The line comes once a minute, and never of times that no idle timeout can have.
func TestServer_Lost(t *testing.T) {
	inBubble(t, func(o *Options) { o.PingInterval = 25 * time.Second }, func(t *testing.T, w *world) {
		var log bytes.Buffer
		w.engine.log = slog.New(slog.NewTextHandler(&log, nil))
		for range 20 {
			w.engine.lost(8 * time.Second)
			w.engine.lost(500 * time.Millisecond)
			w.engine.lost(26 * time.Second)
			time.Sleep(time.Second)
		}
		if n := strings.Count(log.String(), "sessions end after about 8 s without traffic: a proxy's idle timeout? lower ping-interval"); n != 1 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%d lines: %s", n, &log)
		}
	})
}
