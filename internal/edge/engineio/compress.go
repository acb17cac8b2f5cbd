// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Polling answers are compressed when the browser takes it, the answer is large enough to gain by
// it, and not all of its packets opted out. Compressors are large, so they are pooled; they live
// only while an answer is written.

// Encoding is a way to compress an HTTP answer, in the words of Accept-Encoding.
type Encoding string

// The encodings. Deflate is the one with the header of zlib, as HTTP means it.
const (
	Identity Encoding = ""
	Gzip     Encoding = "gzip"
	Deflate  Encoding = "deflate"
)

// Accepted is the encoding that a request likes best: gzip where it likes both alike.
func Accepted(h http.Header) Encoding {
	best, most := Identity, 0.0
	quality := map[Encoding]float64{}
	rest, star := 0.0, false
	for _, coding := range elements(h["Accept-Encoding"]) {
		name, parameters, _ := strings.Cut(coding, ";")
		q := 1.0
		if key, value, found := strings.Cut(parameters, "="); found && strings.EqualFold(strings.TrimSpace(key), "q") {
			var err error
			if q, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil {
				q = 0
			}
		}
		if name = strings.ToLower(strings.TrimSpace(name)); name == "*" {
			rest, star = q, true
		} else {
			quality[Encoding(name)] = q
		}
	}
	for _, e := range []Encoding{Gzip, Deflate} {
		q, named := quality[e]
		if !named && star {
			q = rest
		}
		if q > most {
			best, most = e, q
		}
	}
	return best
}

// compressor is what gzip and zlib have in common.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// Speed matters more than the last percent: the answer is waited for, and compressors at this level
// are smaller, too.
var compressors = map[Encoding]*sync.Pool{
	Gzip: {New: func() any {
		w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is right
		return w
	}},
	Deflate: {New: func() any {
		w, _ := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed) // the level is right
		return w
	}},
}

// compress packs a body.
func compress(body []byte, e Encoding) []byte {
	const usual = 4 // times smaller
	packed := bytes.NewBuffer(make([]byte, 0, len(body)/usual+bytes.MinRead))
	pool := compressors[e]
	w := pool.Get().(compressor)
	w.Reset(packed)
	w.Write(body) // a buffer takes everything
	w.Close()
	w.Reset(io.Discard)
	pool.Put(w)
	return packed.Bytes()
}

// compressed is the body as it is sent, and says so in the header.
func (s *Server) compressed(h http.Header, r *http.Request, body []byte, wanted bool) []byte {
	if !s.o.PollingCompression || !wanted || len(body) < s.o.CompressionThreshold {
		return body
	}
	h.Add("Vary", "Accept-Encoding")
	e := Accepted(r.Header)
	if e == Identity {
		return body
	}
	h.Set("Content-Encoding", string(e))
	return compress(body, e)
}

// refusedEncoding is for bodies that are compressed: what they would grow to is not known before.
var refusedEncoding = &refusal{code: codeBadRequest, status: http.StatusUnsupportedMediaType, cause: "content encoding",
	message: "Bodies must not be compressed: leave Content-Encoding out",
	say:     "the body of a POST is compressed, which Socket.IO clients never do: have the client or the proxy leave Content-Encoding out"}

// isCompressed tells whether the body of a request is compressed.
func isCompressed(r *http.Request) bool {
	for _, coding := range elements(r.Header["Content-Encoding"]) {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}
