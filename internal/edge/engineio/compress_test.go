// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

func unpack(t *testing.T, r reply) string {
	t.Helper()
	var plain io.Reader = strings.NewReader(r.body)
	var err error
	switch r.header.Get("Content-Encoding") {
	case "gzip":
		plain, err = gzip.NewReader(plain)
	case "deflate":
		plain, err = zlib.NewReader(plain)
	case "":
	default:
		t.Fatalf("encoding %q", r.header.Get("Content-Encoding"))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// P15: an answer is compressed as the browser likes it, when it is large enough and not all of it
// opted out.
func TestSession_P15_Compression(t *testing.T) {
	w := newWorld(t, nil)
	small, large := Message{Data: []byte("x")}, Message{Data: bytes.Repeat([]byte("x"), 1023)}
	plain := Message{Data: large.Data, NoCompress: true}
	binary := Message{Data: large.Data, Binary: true, NoCompress: true}
	for _, c := range []struct {
		name, accept string
		messages     []Message
		want         string
	}{
		{"gzip", "gzip, deflate, br", []Message{large}, "gzip"},
		{"deflate", "deflate", []Message{large}, "deflate"},
		{"neither", "br", []Message{large}, ""},
		{"identity", "identity", []Message{large}, ""},
		{"small", "gzip", []Message{{Data: large.Data[1:]}}, ""},
		{"opted out", "gzip", []Message{plain, binary}, ""},
		{"one opted out", "gzip", []Message{plain, small}, "gzip"},
	} {
		for _, shared := range []bool{false, true} {
			p := w.polling()
			if shared {
				p.rec.session.QueueShared(NewShared(c.messages...))
			} else {
				p.rec.session.Queue(c.messages...)
			}
			r := p.do("GET", p.query(), "", "Accept-Encoding: "+c.accept)
			var packets []Packet
			for _, m := range c.messages {
				packets = append(packets, Packet{Type: PacketMessage, Binary: m.Binary, Data: m.Data})
			}
			want := string(AppendPayload(nil, packets))
			if r.status != 200 || r.header.Get("Content-Encoding") != c.want || unpack(t, r) != want {
				t.Errorf("%s: got %d %v %.40q", c.name, r.status, r.header, r.body)
			}
			if c.want != "" && (len(r.body) > len(want)/2 || r.header.Get("Vary") != "Accept-Encoding") {
				t.Errorf("%s: %d bytes of %d, %v", c.name, len(r.body), len(want), r.header)
			}
		}
	}
}

// P15: the threshold can be moved, and compression switched off.
func TestSession_P15_Settings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"threshold": {func(o *Options) { o.CompressionThreshold = 10 }, "gzip"},
		"off":       {func(o *Options) { o.CompressionThreshold, o.PollingCompression = 10, false }, ""},
	} {
		w := newWorld(t, c.change)
		p := w.polling()
		p.rec.session.Queue(Message{Data: bytes.Repeat([]byte("x"), 100)})
		if r := p.do("GET", p.query(), "", "Accept-Encoding: gzip"); r.header.Get("Content-Encoding") != c.want || len(unpack(t, r)) != 101 {
			t.Errorf("%s: got %v", name, r.header)
		}
	}
}

// Compressors are shared, and never by two answers at once.
func TestCompress_Concurrent(t *testing.T) {
	var all sync.WaitGroup
	for i := range 8 {
		e := []Encoding{Gzip, Deflate}[i%2]
		all.Go(func() {
			for j := range 50 {
				body := strings.Repeat(string(rune('a'+i)), 1000+j)
				r := reply{body: string(compress([]byte(body), e)), header: http.Header{"Content-Encoding": {string(e)}}}
				if unpack(t, r) != body {
					t.Error("another's bytes")
				}
			}
		})
	}
	all.Wait()
}

// The encoding is the one that the browser likes best, of those that are spoken here.
func TestAccepted(t *testing.T) {
	for accept, want := range map[string]Encoding{
		"": Identity, "gzip": Gzip, "GZIP": Gzip, "deflate": Deflate, "deflate, gzip": Gzip, "gzip;q=0.5, deflate": Deflate, "gzip;q=0": Identity,
		"*": Gzip, "gzip;q=0, *": Deflate, "*;q=0": Identity, "br, gzip ; q=0.1": Gzip, "gzip;q=x": Identity, "gzip;x=1": Gzip, "xgzip": Identity,
		",,": Identity,
	} {
		if got := Accepted(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
	}
}

// A compressed body is refused unread, and says so.
func TestSession_CompressedBody(t *testing.T) {
	w := newWorld(t, nil)
	p := w.polling()
	p.want(p.post("4a", "Content-Encoding: identity"), 200, "ok")
	p.want(p.post("4a", "Content-Encoding: gzip"), 415, refused(3, "Bodies must not be compressed: leave Content-Encoding out"))
	p.wantClosed(p.rec, sio.ReasonParseError)
	if got := p.rec.got(); len(got) != 1 {
		t.Errorf("delivered %q", got)
	}
}
