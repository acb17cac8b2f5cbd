// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"sync"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// An emit may count the sockets of the whole cluster, and one under an idempotency key is carried
// out once, whichever replicas are asked.
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

// Every replica tells the services of the whole cluster, where their instances are, and the
// replicas.
func TestCluster_ListServices(t *testing.T) {
	all := brokertest.Cluster(t, 2)
	attach(t, all[0], "first")
	attach(t, all[1], "second")
	visit(t, all[0])
	var got *spanwirev1.ListServicesResponse
	for i := range all {
		client := spanwirev1.NewEmitterServiceClient(dial(t, all[i]))
		// until the other replica has answered
		for len(got.GetServices()) != 1 || len(got.GetServices()[0].GetInstances()) != 2 {
			var err error
			if got, err = client.ListServices(testContext(t), &spanwirev1.ListServicesRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		service := got.GetServices()[0]
		if r := service.GetRegistrations(); service.GetService() != "test" || len(r) != 1 || !r[0].GetCatchAll() {
			t.Errorf("service %v", service)
		}
		if len(got.GetTopology().GetReplicas()) != 2 || got.GetReplica() != got.GetTopology().GetReplicas()[0].GetId() {
			t.Errorf("replica %v of %v", got.GetReplica(), got.GetTopology())
		}
		for n, x := range service.GetInstances() {
			here := n == i
			if len(x.GetReplicas()) != 1 || (x.GetReplicas()[0] == got.GetReplica()) != here || x.GetWindow() == 0 {
				t.Errorf("at replica %d: instance %v", i, x)
			}
		}
		got = nil
	}
}
