// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"context"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// learnTimeout bounds the wait for what the others know of absent services.
const learnTimeout = 5 * time.Second

// learnAbsent asks the other replicas for the services that are absent, so that a replica that has
// just started holds the connects that they hold. A replica of an older version does not answer.
func (m *Mesh) learnAbsent() {
	ctx, cancel := context.WithTimeout(m.life, learnTimeout)
	collect := m.publisher.Query(ctx, &sio.ListAbsent{})
	if collect == nil {
		cancel()
		return
	}
	m.goroutines.Go(func() { // ends with the answers or the time, or with the mesh
		defer cancel()
		if found, err := collect(); err == nil && len(found.Absent) > 0 {
			m.dispatcher.Learn(found.Absent)
		}
	})
}
