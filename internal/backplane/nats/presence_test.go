// SPDX-License-Identifier: Apache-2.0

package nats

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Clusters on one NATS hear of each other at once, whichever came first; the own one and nonsense
// are none.
func TestPresence(t *testing.T) {
	owner := startListening(t)
	same := join(t, owner)
	foreign := options()
	foreign.URL, foreign.Cluster = "nats://"+owner.Address(), "other"
	third := start(t, foreign)
	for name, b := range map[string]*Backplane{"first": owner, "same": same, "other": third} {
		eventually(t, name+" counts the other cluster", func() bool { return testutil.ToFloat64(b.metrics.ForeignClusters) == 1 })
	}
	if err := third.conn.Publish(presenceSubject, []byte("no name of a cluster")); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxForeign {
		if err := third.conn.Publish(presenceSubject, fmt.Append(nil, "made-up-", i)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "names are bounded", func() bool { return testutil.ToFloat64(owner.metrics.ForeignClusters) == maxForeign })
	owner.presence.expire(time.Now().Add(presenceLife))
	if n := testutil.ToFloat64(owner.metrics.ForeignClusters); n != 0 {
		t.Errorf("%v clusters are counted that are not heard any more", n)
	}
}
