// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

// A session of a replica that is not there is left to the entry point. The line says whether the
// replica has gone, or was never known, once a minute.
func TestForwarder_Unknown(t *testing.T) {
	gone := func(was bool) func(sio.ReplicaID) (time.Duration, bool) {
		return func(sio.ReplicaID) (time.Duration, bool) { return time.Second, was }
	}
	for name, test := range map[string]struct {
		gone func(sio.ReplicaID) (time.Duration, bool)
		says []string
	}{
		"gone":      {gone(true), []string{"level=INFO", "left or died", "since=1s"}},
		"never met": {gone(false), []string{"level=WARN", "was ever heard of", "nats-url", "cluster=c"}},
		"alone":     {nil, []string{"level=WARN", "neither nats-url nor nats-listen", "or it was restarted"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			passed := 0
			f := New(Options{
				Replica: "AAAAAA", Cluster: "c", Gone: test.gone, Find: func(sio.ReplicaID) (string, bool) { return "", false },
			}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }), metrics.NewSessionProxy(prometheus.NewRegistry()),
				slog.New(slog.NewTextHandler(&log, nil)))
			defer f.Close()
			other := sio.NewSessionID("BBBBBB")
			for range 3 {
				f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/socket.io/?sid="+string(other), nil))
			}
			if passed != 3 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("%d requests went on; logged %s", passed, &log)
			}
			for _, word := range append(test.says, "peer=BBBBBB") {
				if !strings.Contains(log.String(), word) {
					t.Errorf("%q is not in %s", word, &log)
				}
			}
			if strings.Contains(log.String(), string(other)) {
				t.Error("the session's id is a secret")
			}
		})
	}
}
