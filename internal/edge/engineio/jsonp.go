// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/api/querystring"
	"github.com/spanwire/spanwire/internal/sio"
)

// JSONP: polling by script elements and forms, for pages that can do no requests to other origins.
// The opening request has a number in the query key j, which names a function of the page.
//
//   - The answer to a GET is a script that calls the function with the payload.
//   - The body of a POST is a form, whose field d is the payload. Since browsers may write line
//     ends in forms as they please, clients send them as `\n`, and `\n` with one more backslash.
//   - Binary messages are base64 both ways.
type jsonp struct {
	codec
	index string
}

var errForm = sio.E(sio.CodeInvalid, "split payload", "the form has not exactly one field d")

// jsonpFromQuery lets a session of c go by JSONP, or is nil where it may not.
func (s *Server) jsonpFromQuery(query url.Values, c codec) codec {
	const mostDigits = 10
	index := single(query, "j")
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	if !s.o.AllowJSONP || index == "" || len(index) > mostDigits || strings.ContainsFunc(index, notDigit) {
		return nil
	}
	return jsonp{c.withBase64(), index}
}

func (jsonp) takesBinary() bool { return false }

func (j jsonp) split(body []byte, _ bool, maxPackets int) ([]Packet, error) {
	var field []byte
	fields := 0
	for pair := range bytes.SplitSeq(body, []byte{'&'}) {
		if name, value, _ := bytes.Cut(pair, []byte{'='}); string(name) == "d" {
			field = value
			fields++
		}
	}
	if fields != 1 {
		return nil, errForm
	}
	text := querystring.UnescapeBytes(string(field))
	return j.codec.split(unescapeLineEnds([]byte(text)), false, maxPackets)
}

// unescapeLineEnds makes `\n` a line end and takes one backslash from `\\n`, and from more before
// an n. It works in place.
func unescapeLineEnds(text []byte) []byte {
	out := text[:0]
	slashes := 0
	for _, b := range text {
		if b == 'n' && slashes > 0 {
			out = out[:len(out)-1]
			if slashes == 1 {
				b = '\n'
			}
		}
		out = append(out, b)
		slashes++
		if b != '\\' {
			slashes = 0
		}
	}
	return out
}

func (j jsonp) answer(packets []Packet) (body []byte, contentType string) {
	payload, _ := j.codec.answer(packets)
	// A literal of JSON is one of JavaScript, since U+2028 and U+2029 are escaped, as are the
	// characters that mean something in HTML.
	literal, _ := json.Marshal(string(payload)) // strings always marshal
	return slices.Concat([]byte("___eio["+j.index+"]("), literal, []byte(");")), "text/javascript; charset=UTF-8"
}
