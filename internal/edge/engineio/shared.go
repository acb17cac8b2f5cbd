// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"sync"

	"github.com/spanwire/spanwire/internal/edge/wsconn"
)

// Shared is a unit of messages for many sessions, encoded once for each transport that needs it.
type Shared struct {
	messages []Message
	bytes    int

	framesOnce sync.Once
	framed     []byte

	packetsOnce sync.Once
	encoded     []outgoing
}

// NewShared makes a Shared. It keeps the messages: they must not change any more.
func NewShared(messages ...Message) *Shared {
	m := &Shared{messages: messages}
	for _, message := range messages {
		m.bytes += len(message.Data)
	}
	return m
}

// frames are the WebSocket frames of the messages.
func (m *Shared) frames() []byte {
	m.framesOnce.Do(func() {
		const header = 11 // the longest, and the type
		m.framed = make([]byte, 0, m.bytes+header*len(m.messages))
		for _, message := range m.messages {
			if message.Binary {
				m.framed = wsconn.AppendFrame(m.framed, message.Data, true)
			} else {
				m.framed = wsconn.AppendPrefixedFrame(m.framed, byte(PacketMessage), message.Data)
			}
		}
	})
	return m.framed
}

// packets are the messages as polling sessions queue them.
func (m *Shared) packets() []outgoing {
	m.packetsOnce.Do(func() {
		m.encoded = make([]outgoing, 0, len(m.messages))
		for _, message := range m.messages {
			m.encoded = append(m.encoded, newOutgoing(message))
		}
	})
	return m.encoded
}
