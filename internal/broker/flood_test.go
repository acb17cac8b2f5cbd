// SPDX-License-Identifier: Apache-2.0

package broker_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/broker/brokertest"
)

// Frames of HTTP/2 (RFC 9113), written by hand, since no client would send what follows.
const (
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9
	endHeaders        = 0x4
	enhanceYourCalm   = 0xb
)

// outsider is a connection to the services' listener that keeps no rules.
type outsider struct {
	t    *testing.T
	conn net.Conn
	ends chan []byte // what the broker sent until it closed the connection
}

func newOutsider(t *testing.T, b *broker.Broker) *outsider {
	t.Helper()
	conn, err := net.Dial("tcp", b.ServiceAddress())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &outsider{t: t, conn: conn, ends: make(chan []byte, 1)}
	go func() { // ends with the connection
		data, _ := io.ReadAll(conn)
		s.ends <- data
	}()
	s.write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	s.frame(frameSettings, 0, 0, nil)
	return s
}

// write reports whether the broker still takes anything.
func (s *outsider) write(data []byte) bool {
	_ = s.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_, err := s.conn.Write(data)
	return err == nil
}

func (s *outsider) frame(kind, flags byte, stream uint32, payload []byte) bool {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	head = binary.BigEndian.AppendUint32(head, stream)
	return s.write(append(head, payload...))
}

// call is the header of a call: static entries of HPACK, and literals.
func call(path string, more ...string) []byte {
	b := []byte{0x83, 0x86} // POST, http
	text := func(value string) { b = append(append(b, byte(len(value))), value...) }
	// content-type is 15 + 16
	for _, x := range []struct{ index, value string }{{"\x04", path}, {"\x01", "localhost"}, {"\x0f\x10", "application/grpc"}} {
		b = append(b, x.index...)
		text(x.value)
	}
	for i := 0; i+1 < len(more); i += 2 {
		b = append(b, 0x00)
		text(more[i])
		text(more[i+1])
	}
	return b
}

// closed waits until the broker closed the connection, and gives the error code of its last word;
// ok is false when it said none.
func (s *outsider) closed() (code uint32, ok bool) {
	s.t.Helper()
	select {
	case data := <-s.ends:
		for len(data) >= 9 {
			n := int(data[0])<<16 | int(data[1])<<8 | int(data[2])
			if len(data) < 9+n {
				break
			}
			if data[3] == frameGoAway {
				code, ok = binary.BigEndian.Uint32(data[9+4:]), true
			}
			data = data[9+n:]
		}
	case <-time.After(30 * time.Second):
		s.t.Error("the broker did not close the connection")
	}
	return code, ok
}

// Whatever one connection floods the services' listener with, others are served.
func TestServices_floods(t *testing.T) {
	const emitPath = "/spanwire.v1.EmitterService/Emit"
	for name, flood := range map[string]func(*outsider){
		"streams that are reset at once": func(s *outsider) {
			header := call(emitPath, "te", "trailers")
			for stream := uint32(1); stream < 8000; stream += 2 {
				if !s.frame(frameHeaders, endHeaders, stream, header) || !s.frame(frameReset, 0, stream, []byte{0, 0, 0, 8}) {
					return
				}
			}
		},
		"headers without an end": func(s *outsider) {
			s.frame(frameHeaders, 0, 1, call(emitPath))
			chunk := append([]byte{0x00, 1, 'x', 0x7f, 0x81, 0x7e}, bytes.Repeat([]byte("y"), 127+129+126*128)[:1<<13]...)
			for range 1000 {
				if !s.frame(frameContinuation, 0, 1, chunk) {
					s.closed()
					return
				}
			}
			s.t.Error("8 MiB of one header were taken")
		},
		"pings": func(s *outsider) {
			for range 10_000 {
				if !s.frame(framePing, 0, 0, make([]byte, 8)) {
					break
				}
			}
			if code, ok := s.closed(); !ok || code != enhanceYourCalm {
				s.t.Errorf("the connection was closed with %d, %v", code, ok)
			}
		},
		"nonsense": func(s *outsider) {
			// an even stream, and no HPACK
			s.frame(frameHeaders, endHeaders, 2, []byte{0xff, 0xff, 0xff, 0xff})
			s.closed()
		},
		"an odd path": func(s *outsider) {
			for i, path := range []string{"spanwire.v1.EmitterService/Emit", "//", "/", "/%73panwire.v1.EmitterService/Emit", ""} {
				s.frame(frameHeaders, endHeaders|0x1, uint32(2*i+1), call(path, "te", "trailers"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t)
			conn := dialServices(t, b, nil, "")
			if err := emitIn(t, conn, "/"); err != nil {
				t.Fatal(err)
			}
			s := newOutsider(t, b)
			flooded := make(chan struct{})
			go func() { // ends with the flood
				defer close(flooded)
				flood(s)
			}()
			for calls, done := 0, false; !done || calls < 20; calls++ {
				if err := emitIn(t, conn, "/"); status.Code(err) != codes.OK {
					t.Fatalf("another caller: %v", err)
				}
				select {
				case <-flooded:
					done = true
				default:
				}
			}
			s.conn.Close()
		})
	}
}
