// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/metrics"
)

// What is lost with a broker that stops is said, once for each service.
func TestDispatcher_Close_left(t *testing.T) {
	var log bytes.Buffer
	m := metrics.NewDispatch(nil)
	f := &fixture{t, New(Options{}, m, slog.New(slog.NewTextHandler(&log, nil))), m}
	a := f.attach("a", "1", nil)
	s := f.connect("s")
	a.a.Detach()
	for range 3 {
		s.emit(t, "x", 1)
	}
	f.attach("b", "1", nil)
	f.Close()
	if n := strings.Count(log.String(), "the broker stopped while"); n != 1 || !strings.Contains(log.String(), "service=a count=3") {
		t.Errorf("the log says it %d times: %s", n, log.String())
	}
}
