// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// Whatever begins a connection, no more than a header is read of it, and an address is whole or not
// there.
func FuzzReadProxyHeader(f *testing.F) {
	signature := string(proxyproto.SIGV2)
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "GET / HTTP/1.1\r\n\r\n",
		signature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02GET", signature + "\x20\x00\x00\x00", signature + "\x21\x11\xff\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		from, err := readProxyHeader(r)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		header := data[:len(data)-len(rest)]
		again, err := readProxyHeader(bufio.NewReader(bytes.NewReader(header)))
		if err != nil || again != from {
			t.Fatalf("%q gave %v, its header %q alone %v, %v", data, from, header, again, err)
		}
		if from.IsValid() && !from.Addr().IsValid() {
			t.Fatalf("%q gave %v", data, from)
		}
	})
}
