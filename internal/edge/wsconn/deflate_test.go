// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"bytes"
	"compress/flate"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// deflatedEcho answers each message compressed where the peer takes that.
func deflatedEcho(c *Conn) {
	for {
		data, binary, err := c.Read()
		if err != nil {
			return
		}
		if c.Deflates() {
			c.QueueDeflated(string(data[:1]), data[1:], binary)
		} else {
			c.Queue(data, binary)
		}
		c.Flush()
	}
}

// packed is a message as a client compresses it.
func packed(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte(text))
	w.Flush()
	return string(b.Bytes()[:b.Len()-4])
}

// Messages of every size come back as they went, compressed both ways, in text and in binary, and a
// message that is not compressed is taken too.
func TestConn_Deflate_OK(t *testing.T) {
	address := serve(t, Options{Deflate: true}, deflatedEcho)
	dialer := websocket.Dialer{EnableCompression: true}
	ws, response, err := dialer.Dial("ws://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if !strings.Contains(response.Header.Get(extensionsHeader), deflateExtension) {
		t.Fatalf("extensions: %q", response.Header)
	}
	for i, text := range []string{"x", strings.Repeat("ab", 3000), strings.Repeat("é€😀", 40_000), "y"} {
		for _, kind := range []int{websocket.TextMessage, websocket.BinaryMessage} {
			ws.EnableWriteCompression(i%2 == 0)
			if err := ws.WriteMessage(kind, []byte(text)); err != nil {
				t.Fatal(err)
			}
			got, data, err := ws.ReadMessage()
			if err != nil || got != kind || string(data) != text {
				t.Fatalf("message %d of kind %d: kind %d, %d bytes, %v", i, kind, got, len(data), err)
			}
		}
	}
}

// What is sent compressed is smaller on the wire, and marked; a connection without the extension
// gets nothing of the kind.
func TestAppendDeflatedFrame(t *testing.T) {
	text := strings.Repeat("many times the same ", 100)
	f := AppendDeflatedFrame(nil, "4", []byte(text), false)
	if f[0] != textFrame|deflatedBit || len(f) > len(text)/4 {
		t.Errorf("frame of %d bytes begins with %x", len(f), f[0])
	}
	r := flate.NewReader(strings.NewReader(string(f[headerLen(f):]) + "\x00\x00\xff\xff\x01\x00\x00\xff\xff"))
	var inflated bytes.Buffer
	if _, err := inflated.ReadFrom(r); err != nil || inflated.String() != "4"+text {
		t.Errorf("inflated to %d bytes: %v", inflated.Len(), err)
	}
}

func headerLen(f []byte) int {
	switch f[1] {
	case length16:
		return 4
	case length64:
		return 10
	}
	return 2
}

// A message counts with its inflated size, however small it is on the wire; what is no deflate and
// what is too many fragments is refused.
func TestConn_Deflate_ErrHostile(t *testing.T) {
	empty := strings.Repeat(string(frame(0x00, "")), 20_000)
	for name, test := range map[string]struct {
		send string
		want error
		code string
	}{
		"bomb":            {string(frame(0xc2, packed(strings.Repeat("\x00", 2_000_000)))), ErrTooLarge, "close 1009"},
		"not deflate":     {string(frame(0xc2, "\xff\xff\xff\xff")), ErrProtocol, "close 1007"},
		"invalid text":    {string(frame(0xc1, packed("\xff"))), ErrProtocol, "close 1007"},
		"empty fragments": {string(frame(0x42, "")) + empty, ErrProtocol, "close 1008"},
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error, 1)
			address := serve(t, Options{Deflate: true, MaxMessage: 50_000, MaxFragments: 100}, func(c *Conn) {
				_, _, err := c.Read()
				failed <- err
			})
			p, response := dial(t, address, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
			if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get(extensionsHeader) == "" {
				t.Fatalf("answer: %v", response.Header)
			}
			p.send([]byte(test.send))
			if err := <-failed; !errors.Is(err, test.want) {
				t.Errorf("read: %v, want %v", err, test.want)
			}
			p.want(test.code)
		})
	}
}

// The extension is only accepted when it is on, and never in a form that asks for what is not done
// here.
func TestUpgrader_Deflate_Negotiation(t *testing.T) {
	for _, test := range []struct {
		on       bool
		offer    string
		accepted bool
	}{
		{false, "permessage-deflate", false},
		{true, "", false},
		{true, "permessage-deflate", true},
		{true, "permessage-deflate; server_max_window_bits=10", false},
		{true, "permessage-deflate; server_max_window_bits=10, permessage-deflate", true},
		{true, "x-unknown", false},
	} {
		deflates := make(chan bool, 1)
		address := serve(t, Options{Deflate: test.on}, func(c *Conn) { deflates <- c.Deflates() })
		_, response := dial(t, address, "Sec-WebSocket-Extensions: "+test.offer)
		if got := response.Header.Get(extensionsHeader) != ""; got != test.accepted || <-deflates != test.accepted {
			t.Errorf("%+v: accepted %v", test, got)
		}
	}
}
