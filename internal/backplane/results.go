// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/internal/sio"
)

// results holds the results that wait to be sent back to the replicas that own the sockets. They go
// out together, at the latest before the next command does, so that everything takes effect in the
// order in which instances said it.
type results struct {
	waiting atomic.Int64

	// mu guards the queues, and is held while they are sent: results of one instance keep their
	// order.
	mu     sync.Mutex
	queues map[resultKey][]Result
	owed   map[sio.ReplicaID]struct{} // replicas that some results could not be sent to
}

type resultKey struct {
	to         sio.ReplicaID
	instance   sio.InstanceID
	generation uint64
}

// batchBytes is about how large a batch of dispatches or results becomes before it is sent.
const batchBytes = 256 << 10

// QueueResult keeps the result for the replica until FlushResults, or until the next command is
// published.
func (p *Publisher) QueueResult(to sio.ReplicaID, instance sio.InstanceID, generation uint64, r Result) {
	key := resultKey{to, instance, generation}
	p.results.mu.Lock()
	defer p.results.mu.Unlock()
	p.results.queues[key] = append(p.results.queues[key], r)
	p.results.waiting.Add(1)
}

// FlushResults sends the results that wait.
func (p *Publisher) FlushResults() {
	if p.results.waiting.Load() == 0 {
		return
	}
	p.results.mu.Lock()
	defer p.results.mu.Unlock()
	for key, queue := range p.results.queues {
		delete(p.results.queues, key)
		p.results.waiting.Add(-int64(len(queue)))
		for len(queue) > 0 {
			n := resultsThatFit(queue)
			p.sendResultsLocked(key, queue[:n])
			queue = queue[n:]
		}
	}
}

// Owed gives the replicas that some results could not be sent to, once.
func (p *Publisher) Owed() []sio.ReplicaID {
	p.results.mu.Lock()
	defer p.results.mu.Unlock()
	var owed []sio.ReplicaID
	for r := range p.results.owed {
		owed = append(owed, r)
	}
	clear(p.results.owed)
	return owed
}

func (p *Publisher) sendResultsLocked(key resultKey, batch []Result) {
	err := p.Send(key.to, &ResultBatch{Instance: key.instance, Generation: key.generation, Results: batch})
	if sio.CodeOf(err) == sio.CodeTooLarge {
		// Some of them pass one by one, and those that do not fail on their own.
		for _, r := range batch {
			if err = p.Send(key.to, &ResultBatch{Instance: key.instance, Generation: key.generation, Results: []Result{r}}); err != nil {
				r.Result = sio.Result{Outcome: sio.Failed, Message: fmt.Sprintf("the result could not be brought to the socket's replica: %v", err)}
				err = p.Send(key.to, &ResultBatch{Instance: key.instance, Generation: key.generation, Results: []Result{r}})
			}
		}
	}
	if err != nil {
		p.results.owed[key.to] = struct{}{}
	}
}

func resultsThatFit(queue []Result) int {
	size := 0
	for i := range queue {
		r := &queue[i].Result
		size += 32 + r.Ack.Size() + len(r.Message) + len(r.Data)
		if size > batchBytes {
			return max(i, 1)
		}
	}
	return len(queue)
}
