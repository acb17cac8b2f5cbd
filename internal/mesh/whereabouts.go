// SPDX-License-Identifier: Apache-2.0

package mesh

import "github.com/spanwire/spanwire/internal/sio"

// Whereabouts tells which of the other replicas each instance is attached to, by their latest
// heartbeats.
func (m *Mesh) Whereabouts() map[sio.InstanceID][]sio.ReplicaID {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[sio.InstanceID][]sio.ReplicaID)
	for id, x := range m.members {
		for _, i := range x.heartbeat.Instances {
			all[i.Register.Instance] = append(all[i.Register.Instance], id)
		}
	}
	return all
}
