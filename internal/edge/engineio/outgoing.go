// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"encoding/base64"

	"github.com/spanwire/spanwire/internal/edge/budget"
)

// outgoing is one packet as polling sessions queue it: text with its type, or the bytes of a binary
// message.
type outgoing struct {
	data       []byte
	shared     *budget.Shared // data, when other sessions may hold it too
	binary     bool
	noCompress bool
	counted    bool // against MaxOutbound and in the budget
}

// newOutgoing copies m.
func newOutgoing(m Message) outgoing {
	if m.Binary {
		return outgoing{data: bytes.Clone(m.Data), binary: true, noCompress: m.NoCompress}
	}
	data := make([]byte, 1+len(m.Data))
	data[0] = byte(PacketMessage)
	copy(data[1:], m.Data)
	return outgoing{data: data, noCompress: m.NoCompress}
}

func (o *outgoing) isPing() bool {
	return !o.binary && len(o.data) == 1 && o.data[0] == byte(PacketPing)
}

func (o *outgoing) packet() Packet {
	if o.binary {
		return Packet{Type: PacketMessage, Binary: true, Data: o.data}
	}
	return Packet{Type: PacketType(o.data[0]), Data: o.data[1:]}
}

// moveTo queues a packet that waited for a poll when the session was upgraded, as it is.
func (o *outgoing) moveTo(d duplex) (fits bool) {
	p := o.packet()
	if p.Type == PacketMessage {
		return d.queue(Message{Data: p.Data, Binary: p.Binary, NoCompress: true})
	}
	return d.queuePacket(p.Type, p.Data)
}

var (
	closePacket = outgoing{data: []byte{byte(PacketClose)}}
	noopPacket  = outgoing{data: []byte{byte(PacketNoop)}}
)

// packetCost is what a packet counts against MaxOutbound and in the budget besides its data: about
// what it costs to keep. It covers a WebSocket header, so that all that was queued here fits there
// after the upgrade.
const packetCost = 64

// queue tells whether the packet fitted.
func (p *polling) queue(o outgoing, limit int) bool {
	size := len(o.data) + packetCost
	if size > limit-p.size {
		return false
	}
	o.counted = true
	p.out = append(p.out, o)
	p.size += size
	if o.shared != nil {
		o.shared.Hold(p.budget)
		p.budget.Add(packetCost)
	} else {
		p.budget.Add(size)
	}
	return true
}

// left takes back what queue counted.
func (p *polling) left(o *outgoing) {
	if !o.counted {
		return
	}
	size := len(o.data) + packetCost
	p.size -= size
	if o.shared != nil {
		o.shared.Release(p.budget)
		size = packetCost
	}
	p.budget.Sub(size)
}

// drop forgets what is queued.
func (p *polling) drop() {
	for i := range p.out {
		p.left(&p.out[i])
	}
	p.out = nil
}

// queuePong queues the answer to a ping, unless the same one waits already: who sends pings and
// fetches nothing gets no longer queue.
func (p *polling) queuePong(data []byte, limit int) {
	pong := append([]byte{byte(PacketPong)}, data...)
	if n := len(p.out); n == 0 || p.out[n-1].binary || !bytes.Equal(p.out[n-1].data, pong) {
		p.queue(outgoing{data: pong}, limit)
	}
}

// answerSize is about how many bytes the packet takes in an answer, with what stands around it.
func (o *outgoing) answerSize() int {
	if o.binary {
		return 2 + base64.StdEncoding.EncodedLen(len(o.data))
	}
	return 1 + len(o.data)
}

func (o *outgoing) isClose() bool {
	return !o.binary && len(o.data) == 1 && o.data[0] == byte(PacketClose)
}

// take takes at most so many packets of about limit bytes, at least one. It tells whether any of
// them may be compressed.
func (p *polling) take(most int, limit int64) (packets []Packet, compress bool) {
	packets = make([]Packet, 0, min(most, len(p.out)))
	var size int64
	for i := range p.out {
		o := &p.out[i]
		size += int64(o.answerSize())
		if len(packets) > 0 && (size > limit || p.apart && o.isClose()) || len(packets) == most {
			break
		}
		p.left(o)
		p.pinged = p.pinged && !o.isPing()
		packets = append(packets, o.packet())
		compress = compress || !o.noCompress
	}
	clear(p.out[:len(packets)]) // the array stays while packets are left
	if p.out = p.out[len(packets):]; len(p.out) == 0 {
		p.out = nil
	}
	return packets, compress
}
