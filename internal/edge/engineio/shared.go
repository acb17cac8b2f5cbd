// SPDX-License-Identifier: Apache-2.0

package engineio

import "sync"

// Shared is a unit of messages for many sessions, encoded once for each way of writing them that is needed.
type Shared struct {
	messages []Message
	bytes    int
	binary   bool // there are binary messages

	framed [framings]struct {
		once   sync.Once
		frames []byte
	}

	packetsOnce sync.Once
	encoded     []outgoing
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

// frames are the WebSocket frames of the messages. Text alone is framed in one way only.
func (m *Shared) frames(f framing) []byte {
	if !m.binary {
		f = framedPlain
	}
	framed := &m.framed[f]
	framed.once.Do(func() {
		const header = 11 // the longest, and the type
		framed.frames = make([]byte, 0, m.bytes+header*len(m.messages))
		for _, message := range m.messages {
			framed.frames = f.append(framed.frames, message)
		}
	})
	return framed.frames
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
