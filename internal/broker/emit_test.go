// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"sync"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// An emit may count the sockets of the whole cluster, and one under an idempotency key is carried out once, whichever replicas are asked.
func TestCluster_Emit(t *testing.T) {
	all := brokertest.Cluster(t, 2)
	attach(t, all[0], "handler")
	clients := make([]spanwirev1.EmitterServiceClient, len(all))
	for i, b := range all {
		visit(t, b)
		visit(t, b)
		clients[i] = spanwirev1.NewEmitterServiceClient(dial(t, b))
	}
	request := func(count bool, key string) *spanwirev1.EmitRequest {
		return &spanwirev1.EmitRequest{IdempotencyKey: key, Emit: &spanwirev1.Emit{
			Target: &spanwirev1.Target{}, Event: &spanwirev1.Event{Name: "x"}, WantCount: count,
		}}
	}
	for _, count := range []bool{false, true} {
		got, err := clients[0].Emit(testContext(t), request(count, ""))
		if want := map[bool]uint32{false: 2, true: 4}[count]; err != nil || got.GetSockets() != want || len(got.GetSilentReplicas()) > 0 {
			t.Errorf("counted in the cluster %v: %v, %v", count, got, err)
		}
	}
	for _, key := range []string{"one", "two"} {
		var calls sync.WaitGroup
		answers := make(chan *spanwirev1.EmitResponse, 6)
		for i := range cap(answers) {
			calls.Go(func() {
				got, err := clients[i%2].Emit(testContext(t), request(true, key))
				if err != nil {
					t.Error(err)
				}
				answers <- got
			})
		}
		calls.Wait()
		carried := 0
		for range cap(answers) {
			got := <-answers
			if !got.GetReplayed() {
				carried++
			}
			if got.GetSockets() != 4 {
				t.Errorf("answered %v", got)
			}
		}
		if carried != 1 {
			t.Errorf("%s: carried out %d times", key, carried)
		}
	}
}
