// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"sync"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// Shared is a unit of messages for many sessions, encoded once for each way of writing them that is
// needed.
type Shared struct {
	messages []Message
	bytes    int
	binary   bool // there are binary messages

	framed, deflated [framings]frames

	packetsOnce sync.Once
	encoded     []outgoing
}

// frames is a unit as it is written to a WebSocket.
type frames struct {
	once sync.Once
	// shared is apart from the unit, so that a queue that holds it keeps nothing else alive.
	shared *budget.Shared
}

// NewShared makes a Shared. It keeps the messages: they must not change any more.
func NewShared(messages ...Message) *Shared {
	m := &Shared{messages: messages}
	for _, message := range messages {
		m.bytes += len(message.Data)
		m.binary = m.binary || message.Binary
	}
	return m
}

// frames are the WebSocket frames of the messages, compressed where the connection and the options
// want it. Text alone is framed in one way only.
func (m *Shared) frames(f framing, deflates bool, o *Options) *budget.Shared {
	if !m.binary {
		f = framedPlain
	}
	framed := &m.framed[f]
	if deflates {
		framed = &m.deflated[f]
	}
	framed.once.Do(func() {
		const header = 11 // the longest, and the type
		data := make([]byte, 0, m.bytes+header*len(m.messages))
		for _, message := range m.messages {
			data = f.append(data, message, deflates && o.deflatable(message))
		}
		framed.shared = budget.NewShared(data)
	})
	return framed.shared
}

// packets are the messages as polling sessions queue them.
func (m *Shared) packets() []outgoing {
	m.packetsOnce.Do(func() {
		m.encoded = make([]outgoing, 0, len(m.messages))
		for _, message := range m.messages {
			packet := newOutgoing(message)
			packet.shared = budget.NewShared(packet.data)
			m.encoded = append(m.encoded, packet)
		}
	})
	return m.encoded
}
