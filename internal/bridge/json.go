// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// What services send is checked before it goes to browsers: a browser closes its connection over bytes that are not UTF-8, and throws
// over JSON that is not well-formed. encoding/json does not look at the former, nor at the depth.

// scanner checks one JSON text. It looks at each byte once and allocates nothing.
type scanner struct {
	b     []byte
	i     int
	depth int // that may still be entered
}

var (
	errJSON  = errors.New("is not well-formed JSON")
	errUTF8  = errors.New("is not valid UTF-8")
	errArray = errors.New("is not a JSON array")
)

// jsonArray checks the arguments of an event or an ack, and gives them without surrounding space: nil for an empty array.
func jsonArray(b []byte, depth int) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	b, err := jsonValue(b, depth)
	if err != nil {
		return nil, err
	}
	if b[0] != '[' {
		return nil, errArray
	}
	inside := scanner{b: b, i: 1}
	if inside.space(); b[inside.i] == ']' {
		return nil, nil
	}
	return b, nil
}

// jsonValue checks one JSON value, and gives it without surrounding space.
func jsonValue(b []byte, depth int) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, errUTF8
	}
	s := scanner{b: b, depth: depth}
	s.space()
	from := s.i
	if !s.value() {
		if s.depth < 0 {
			return nil, fmt.Errorf("is nested deeper than %d (setting max-json-depth)", depth)
		}
		return nil, errJSON
	}
	to := s.i
	if s.space(); s.i != len(b) {
		return nil, errJSON
	}
	return b[from:to], nil
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek is 0 at the end, which is nowhere allowed.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) value() bool {
	switch c := s.peek(); c {
	case '"':
		return s.text()
	case '{':
		return s.nested('}', true)
	case '[':
		return s.nested(']', false)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) nested(end byte, keys bool) bool {
	if s.depth--; s.depth < 0 {
		return false
	}
	s.i++
	s.space()
	if s.take(end) {
		s.depth++
		return true
	}
	for {
		if s.space(); keys && !s.key() {
			return false
		}
		if s.space(); !s.value() {
			return false
		}
		if s.space(); s.take(end) {
			s.depth++
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) key() bool {
	if !s.text() {
		return false
	}
	s.space()
	return s.take(':')
}

func (s *scanner) text() bool {
	if !s.take('"') {
		return false
	}
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c == '\\':
			if s.i++; !s.escape() {
				return false
			}
		case c < 0x20:
			return false
		default:
			s.i++
		}
	}
	return false
}

func (s *scanner) escape() bool {
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		s.i++
		for range 4 {
			c := s.peek() | 0x20
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') || s.peek() < '0' {
				return false
			}
			s.i++
		}
		return true
	}
	return false
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.i++
	}
	return s.i > from
}
