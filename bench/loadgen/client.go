// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	connectTimeout = 30 * time.Second
	// sources is how many loopback addresses the connections come from, so that their ports never
	// run out.
	sources = 8
	// readBuffer is small: there are thousands of clients, and their messages are short.
	readBuffer = 1024
	maxFrame   = 1 << 20
)

// client is one Socket.IO client in the main namespace.
type client struct {
	index int
	fleet *Fleet
	conn  *net.TCPConn
	buf   []byte // bytes read and not worked on, owned by the reader
	// on gets each ack and event, on the reader's goroutine. What it queues is written when
	// the whole read is worked on.
	on handler

	mu  sync.Mutex // guards out
	out []byte     // masked frames that wait for flush
}

// handler takes what a server sends.
type handler interface {
	// ack has the arguments as they stand in the packet.
	ack(c *client, id uint64, args []byte)
	event(c *client)
}

// dial opens the connection, the session and the socket, one after the other.
func dial(ctx context.Context, o *Options, index int) (*client, error) {
	d := net.Dialer{
		Timeout:   connectTimeout,
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+index%sources))},
		KeepAlive: -1,
	}
	conn, err := d.DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	c := &client{index: index, conn: conn.(*net.TCPConn)}
	if err := c.open(o); err != nil {
		c.abort()
		return nil, err
	}
	return c, nil
}

func (c *client) open(o *Options) error {
	if err := c.conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	request := "GET " + o.Path + "?EIO=4&transport=websocket HTTP/1.1\r\nHost: " + o.Address +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if _, err := io.WriteString(c.conn, request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(c.conn, readBuffer)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answered %s", response.Status)
	}
	early, err := in.Peek(in.Buffered())
	if err != nil {
		return err
	}
	c.buf = append(make([]byte, 0, readBuffer), early...)
	if err := c.expect("0{"); err != nil {
		return err
	}
	c.queue([]byte("40"))
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.expect("40"); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Time{})
}

// expect reads messages until one begins with a prefix.
func (c *client) expect(prefix string) error {
	for {
		payload, rest, ok, err := parseFrame(c.buf)
		if err != nil {
			return err
		}
		if !ok {
			if err := c.fill(); err != nil {
				return fmt.Errorf("waiting for %q: %w", prefix, err)
			}
			continue
		}
		found := bytes.HasPrefix(payload, []byte(prefix))
		refused := bytes.HasPrefix(payload, []byte("44"))
		text := string(payload)
		c.buf = append(c.buf[:0], rest...)
		switch {
		case found:
			return nil
		case refused:
			return errors.New("the server refused the connect: " + text)
		}
	}
}

// fill reads once.
func (c *client) fill() error {
	if len(c.buf) == cap(c.buf) {
		if cap(c.buf) > maxFrame {
			return errors.New("the server sent a frame that is too large")
		}
		c.buf = append(make([]byte, 0, 2*cap(c.buf)), c.buf...)
	}
	n, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	return err
}

// read is the client's goroutine.
func (c *client) read() {
	defer c.fleet.readers.Done()
	for {
		if err := c.work(); err != nil {
			c.fleet.lose(fmt.Errorf("client %d: %w", c.index, err))
			return
		}
		if err := c.flush(); err != nil {
			c.fleet.lose(fmt.Errorf("client %d: %w", c.index, err))
			return
		}
		if err := c.fill(); err != nil {
			c.fleet.lose(fmt.Errorf("client %d lost its connection: %w", c.index, err))
			return
		}
	}
}

// work handles the whole frames of the buffer.
func (c *client) work() error {
	left := c.buf
	for {
		payload, rest, ok, err := parseFrame(left)
		if err != nil {
			return err
		}
		if !ok {
			if len(left) < len(c.buf) {
				c.buf = append(c.buf[:0], left...)
			}
			return nil
		}
		left = rest
		if err := c.message(payload); err != nil {
			return err
		}
	}
}

// message handles one Engine.IO packet.
func (c *client) message(p []byte) error {
	switch {
	case len(p) >= 3 && p[0] == '4' && p[1] == '3':
		id, digits := uint64(0), p[2:]
		for len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9' {
			id = id*10 + uint64(digits[0]-'0')
			digits = digits[1:]
		}
		if c.on != nil {
			c.on.ack(c, id, digits)
		}
	case len(p) >= 2 && p[0] == '4' && p[1] == '2':
		if c.on != nil {
			c.on.event(c)
		}
	case len(p) == 1 && p[0] == '2':
		c.queue([]byte("3"))
	case len(p) >= 1 && p[0] == '6':
	default:
		return fmt.Errorf("the server sent %q", p[:min(len(p), 100)])
	}
	return nil
}

// queue frames one text message for the next flush.
func (c *client) queue(payload ...[]byte) {
	c.mu.Lock()
	c.out = appendFrame(c.out, payload...)
	c.mu.Unlock()
}

// flush writes what is queued. A server that does not read stops its client here, as it would stop
// a browser.
func (c *client) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// abort ends the connection with a reset, so that it leaves no port in TIME_WAIT behind.
func (c *client) abort() {
	_ = c.conn.SetLinger(0)
	_ = c.conn.Close()
}

// event makes the packet of an event: everything before and after the ack id.
type event struct{ head, tail []byte }

func newEvent(name, args string) event {
	return event{head: []byte("42"), tail: []byte("[" + strconv.Quote(name) + "," + args + "]")}
}

func (e *event) queue(c *client, id uint64) {
	var digits [20]byte
	c.queue(e.head, strconv.AppendUint(digits[:0], id, 10), e.tail)
}

// mask is what this program masks with. A constant is as hard to undo as a random one.
const mask uint32 = 0x5bd1e995

// appendFrame appends one masked text frame.
func appendFrame(dst []byte, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	dst = append(dst, 0x81)
	switch {
	case size < 126:
		dst = append(dst, 0x80|byte(size))
	case size < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(size))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(size))
	}
	dst = binary.LittleEndian.AppendUint32(dst, mask)
	start := len(dst)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	body := dst[start:]
	for ; len(body) >= 8; body = body[8:] {
		binary.LittleEndian.PutUint64(body, binary.LittleEndian.Uint64(body)^(uint64(mask)<<32|uint64(mask)))
	}
	for i := range body {
		body[i] ^= byte(mask >> (8 * (i % 4)))
	}
	return dst
}

// parseFrame takes one whole frame from the front. It is not ok when more bytes are needed.
func parseFrame(b []byte) (payload, rest []byte, ok bool, err error) {
	if len(b) < 2 {
		return nil, b, false, nil
	}
	if b[0] == 0x88 {
		return nil, nil, false, fmt.Errorf("the server closed: % x", b)
	}
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return nil, nil, false, fmt.Errorf("not a frame of a server: % x", b[:2])
	}
	size, head := uint64(b[1]), 2
	switch size {
	case 126:
		if head = 4; len(b) < head {
			return nil, b, false, nil
		}
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return nil, b, false, nil
		}
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > maxFrame {
		return nil, nil, false, fmt.Errorf("a frame of %d bytes", size)
	}
	if uint64(len(b)-head) < size {
		return nil, b, false, nil
	}
	end := head + int(size)
	return b[head:end], b[end:], true, nil
}
