// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
)

// permessage-deflate (RFC 7692), always without context takeover on either side: a connection keeps
// no compression state between messages, so that an idle one costs nothing more, and a broadcast is
// compressed once for everyone. gorilla negotiates it and inflates what comes; what is sent is
// compressed here.

const (
	deflatedBit      = 0x40 // RSV1, RFC 7692, section 6
	deflateExtension = "permessage-deflate"
	extensionsHeader = "Sec-Websocket-Extensions"
)

// acceptedDeflate is how gorilla's answer to the handshake begins the line that accepts the
// extension.
var acceptedDeflate = []byte("\r\nSec-WebSocket-Extensions: " + deflateExtension)

// withoutNarrowWindows takes out of the request the offers that ask this side to keep to a smaller
// window, which it cannot.
func withoutNarrowWindows(r *http.Request) *http.Request {
	lines := r.Header[extensionsHeader]
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "server_max_window_bits") }) {
		return r
	}
	var offers []string
	for _, line := range lines {
		for offer := range strings.SplitSeq(line, ",") {
			if !strings.Contains(offer, "server_max_window_bits") {
				offers = append(offers, offer)
			}
		}
	}
	clone := *r
	clone.Header = r.Header.Clone()
	clone.Header[extensionsHeader] = offers
	return &clone
}

// Deflates tells that the peer takes compressed messages.
func (c *Conn) Deflates() bool { return c.deflates }

// QueueDeflated is Queue with a compressed message, which begins with the prefix.
func (c *Conn) QueueDeflated(prefix string, data []byte, binary bool) error {
	k := chunks.Get().(*chunk)
	defer k.recycle()
	k.own = AppendDeflatedFrame(k.own, prefix, data, binary)
	c.mu.Lock()
	defer c.mu.Unlock()
	room, err := c.roomLocked(len(k.own))
	if err != nil {
		return err
	}
	room.own = append(room.own, k.own...)
	c.appendedLocked(len(k.own))
	return nil
}

// deflater compresses one message after another, each by itself.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(&d.out, flate.BestSpeed) // the level is right
	return d
}}

// AppendDeflatedFrame appends one message that begins with the prefix as one compressed frame. Only
// a peer of a connection that Deflates understands it.
func AppendDeflatedFrame(dst []byte, prefix string, payload []byte, binary bool) []byte {
	const tail = 4 // what each flush ends with, and the peer adds again
	d := deflaters.Get().(*deflater)
	d.out.Reset()
	d.w.Reset(&d.out)
	d.w.Write([]byte(prefix)) // a buffer takes everything
	d.w.Write(payload)
	d.w.Flush()
	packed := d.out.Bytes()[:d.out.Len()-tail]
	dst = append(appendHeader(dst, opcode(binary)|deflatedBit, len(packed)), packed...)
	if d.out.Cap() <= maxPooled {
		deflaters.Put(d)
	}
	return dst
}
