// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/sio"
)

// separator stands between the packets of a payload.
const separator = '\x1e'

var errTooManyPackets = sio.E(sio.CodeTooLarge, "split payload", "there are more packets than max-packets-per-payload allows")

// SplitPayload reads the body of a polling request: all packets of it, or none. No packet keeps
// more of body alive than itself, unless it is the only one.
func SplitPayload(body []byte, maxPackets int) ([]Packet, error) {
	n := bytes.Count(body, []byte{separator}) + 1
	if n > maxPackets {
		return nil, errTooManyPackets
	}
	if !utf8.Valid(body) {
		return nil, errUTF8
	}
	packets := make([]Packet, 0, n)
	for text := range bytes.SplitSeq(body, []byte{separator}) {
		p, err := parsePacket(text)
		if err != nil {
			return nil, err
		}
		if n > 1 && !p.Binary {
			p.Data = slices.Clone(p.Data)
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// AppendPayload appends the body of a polling answer.
func AppendPayload(dst []byte, packets []Packet) []byte {
	for i, p := range packets {
		if i > 0 {
			dst = append(dst, separator)
		}
		dst = AppendPacket(dst, p)
	}
	return dst
}
