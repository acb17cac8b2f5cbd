// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

var msgpackRows = []row{
	{"M1", "a first message of bytes means msgpack, for the whole session", func(t *testing.T, w *world) {
		c := w.with(t).websocket(t)
		c.sendBinary("\x83\xa4type\x00\xa4data\x80\xa3nsp\xa1/")
		got := c.next()
		if !strings.HasPrefix(got, "\x00") || !strings.Contains(got, "\xa3sid") {
			t.Fatalf("the connect was answered %q", got)
		}
		// {type: 2, data: ["echo", bytes 01 02], nsp: "/", id: 7}
		c.sendBinary("\x84\xa4type\x02\xa4data\x92\xa4echo\xc4\x02\x01\x02\xa3nsp\xa1/\xa2id\x07")
		if got := c.next(); !strings.Contains(got, "\xc4\x02\x01\x02") || !strings.Contains(got, "\xa2id\x07") {
			t.Errorf("the ack is %q", got)
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte(`42["echo"]`)); err != nil {
			t.Fatal(err)
		}
		c.closed()
	}},
	{"M2", "msgpack that makes no sense ends the session", func(t *testing.T, w *world) {
		for name, packet := range map[string]string{
			"no map":           "\x01",
			"cut":              "\x84\xa4type\x02",
			"unknown type":     "\x83\xa4type\x09\xa4data\x91\xa1a\xa3nsp\xa1/",
			"type is text":     "\x83\xa4type\xa12\xa4data\x91\xa1a\xa3nsp\xa1/",
			"data is a map":    "\x83\xa4type\x02\xa4data\x80\xa3nsp\xa1/",
			"reserved":         "\x83\xa4type\x02\xa4data\x91\xaadisconnect\xa3nsp\xa1/",
			"length that lies": "\x83\xa4type\x02\xa4data\xdd\xff\xff\xff\xff\xa3nsp\xa1/",
		} {
			t.Run(name, func(t *testing.T) {
				c := w.with(t).websocket(t)
				c.sendBinary("\x83\xa4type\x00\xa4data\x80\xa3nsp\xa1/")
				c.next()
				c.sendBinary(packet)
				c.closed()
			})
		}
	}},
}
