// SPDX-License-Identifier: Apache-2.0

// Package jsonscan checks JSON from untrusted senders, without decoding it: that it is well-formed,
// not too deep, and that every object that stands for an attachment names one. Both entry points
// call it for what comes in; what has passed is carried as it was written.
package jsonscan

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
)

// What can be wrong. The entry points put it into their own words.
var (
	ErrJSON        = errors.New("is not well-formed JSON")
	ErrDepth       = errors.New("is nested too deep")
	ErrPlaceholder = errors.New("has a placeholder that names no attachment")
)

// DefaultDepth is how deep JSON may be nested unless a setting says otherwise.
const DefaultDepth = 512

// Scanner checks JSON (RFC 8259) in one pass and without allocating. It accepts what
// encoding/json.Valid accepts, up to its depth. UTF-8 has been checked before. When Placeholders is
// set it also checks every object that stands for an attachment.
type Scanner struct {
	Data         []byte
	Depth        int // levels that may still be opened
	Placeholders bool
	Attachments  int // placeholders name 0 to Attachments-1

	Measured bool
	// with Measured: of every container in the order they open: its elements or members, or what
	// ShapeOf made of a placeholder
	Shapes []int
}

// open makes room for the shape of a container, and close sets it. What was opened in between
// stays.
func (s *Scanner) open() (shape int) {
	if s.Measured {
		s.Shapes = append(s.Shapes, 0)
	}
	return len(s.Shapes) - 1
}

func (s *Scanner) close(shape, n int) {
	if s.Measured {
		s.Shapes[shape] = n
	}
}

// closePlaceholder forgets what was opened in between: none of it will be written.
func (s *Scanner) closePlaceholder(shape, attachment int) {
	if s.Measured {
		s.Shapes = s.Shapes[:shape+1]
		s.Shapes[shape] = ShapeOf(attachment)
	}
}

// ShapeOf turns the number of an attachment into a shape, and back.
func ShapeOf(attachment int) int { return -1 - attachment }

// Fail is the position that says that something is wrong; the reason is the second result beside
// it.
const Fail = -1

// Each method below takes the position where its part begins and returns the position behind it.

// Space skips white space.
func (s *Scanner) Space(i int) int {
	for i < len(s.Data) {
		if c := s.Data[i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		i++
	}
	return i
}

// Document reads one value with white space around it and nothing behind.
func (s *Scanner) Document(i int) error {
	end, err := s.Value(s.Space(i))
	if err != nil {
		return err
	}
	return s.End(end)
}

// End makes sure that nothing but white space follows.
func (s *Scanner) End(i int) error {
	if s.Space(i) != len(s.Data) {
		return ErrJSON
	}
	return nil
}

// Value reads one value.
func (s *Scanner) Value(i int) (int, error) {
	if i >= len(s.Data) {
		return Fail, ErrJSON
	}
	switch c := s.Data[i]; c {
	case '"':
		i, _ = s.Text(i)
	case '{':
		return s.object(i)
	case '[':
		return s.Array(i)
	case 't':
		i = s.word(i, "true")
	case 'f':
		i = s.word(i, "false")
	case 'n':
		i = s.word(i, "null")
	default:
		i = s.Number(i)
	}
	if i == Fail {
		return Fail, ErrJSON
	}
	return i, nil
}

func (s *Scanner) word(i int, word string) int {
	if len(s.Data)-i < len(word) || string(s.Data[i:i+len(word)]) != word {
		return Fail
	}
	return i + len(word)
}

func (s *Scanner) digits(i int) int {
	begin := i
	for i < len(s.Data) && isDigit(s.Data[i]) {
		i++
	}
	if i == begin {
		return Fail
	}
	return i
}

// Number reads a number.
func (s *Scanner) Number(i int) int {
	if s.At(i) == '-' {
		i++
	}
	if s.At(i) == '0' {
		i++
	} else if i = s.digits(i); i == Fail {
		return Fail
	}
	if s.At(i) == '.' {
		if i = s.digits(i + 1); i == Fail {
			return Fail
		}
	}
	if c := s.At(i); c == 'e' || c == 'E' {
		i++
		if c := s.At(i); c == '+' || c == '-' {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// At is the byte at i, or 0 at the end.
func (s *Scanner) At(i int) byte {
	if i < len(s.Data) {
		return s.Data[i]
	}
	return 0
}

// Text reads a string from its opening to its closing quote, and tells whether something in it is
// escaped.
func (s *Scanner) Text(i int) (end int, escaped bool) {
	i++
	for {
		i = s.Plain(i)
		if i >= len(s.Data) {
			return Fail, escaped
		}
		switch s.Data[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = s.escape(i + 1); i == Fail {
				return Fail, true
			}
		default: // a control character
			return Fail, escaped
		}
	}
}

// Plain skips to the next quote, backslash or control character, eight bytes at a time.
func (s *Scanner) Plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(s.Data) {
		x := binary.LittleEndian.Uint64(s.Data[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		// Each term has the high bit of a byte set where the byte is below 0x20, a quote, or a
		// backslash. A borrow can set it wrongly only in bytes behind a right one, and the first is
		// all that is looked for.
		special := ((x - ones*0x20) &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
		if special &= highs; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
		i += 8
	}
	for i < len(s.Data) {
		if c := s.Data[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
		i++
	}
	return i
}

// escape reads what follows a backslash.
func (s *Scanner) escape(i int) int {
	switch s.At(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(s.Data)-i < 5 {
			return Fail
		}
		for _, c := range s.Data[i+1 : i+5] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return Fail
			}
		}
		return i + 5
	}
	return Fail
}

// Array reads an array from its opening bracket.
func (s *Scanner) Array(i int) (int, error) {
	if s.Depth == 0 {
		return Fail, ErrDepth
	}
	s.Depth--
	shape := s.open()
	i = s.Space(i + 1)
	if s.At(i) == ']' {
		s.Depth++
		return i + 1, nil
	}
	return s.Elements(i, shape)
}

// Elements reads an opened array from one of its elements to its end.
func (s *Scanner) Elements(i, shape int) (int, error) {
	for n := 1; ; n++ {
		end, err := s.Value(i)
		if err != nil {
			return Fail, err
		}
		i = s.Space(end)
		switch s.At(i) {
		case ',':
			i = s.Space(i + 1)
		case ']':
			s.Depth++
			s.close(shape, n)
			return i + 1, nil
		default:
			return Fail, ErrJSON
		}
	}
}

func (s *Scanner) object(i int) (int, error) {
	if s.Depth == 0 {
		return Fail, ErrDepth
	}
	s.Depth--
	shape := s.open()
	i = s.Space(i + 1)
	if s.At(i) == '}' {
		s.Depth++
		return i + 1, nil
	}
	mark := placeholder{number: noNumber}
	for n := 1; ; n++ {
		end, err := s.member(i, &mark)
		if err != nil {
			return Fail, err
		}
		i = s.Space(end)
		switch s.At(i) {
		case ',':
			i = s.Space(i + 1)
		case '}':
			s.Depth++
			if !mark.is {
				s.close(shape, n)
				return i + 1, nil
			}
			if mark.number < 0 || mark.number >= s.Attachments {
				return Fail, ErrPlaceholder
			}
			s.closePlaceholder(shape, mark.number)
			return i + 1, nil
		default:
			return Fail, ErrJSON
		}
	}
}

// member reads one key and its value.
func (s *Scanner) member(i int, mark *placeholder) (int, error) {
	if s.At(i) != '"' {
		return Fail, ErrJSON
	}
	end, escaped := s.Text(i)
	if end == Fail {
		return Fail, ErrJSON
	}
	colon := s.Space(end)
	if s.At(colon) != ':' {
		return Fail, ErrJSON
	}
	value := s.Space(colon + 1)
	behind, err := s.Value(value)
	if err != nil {
		return Fail, err
	}
	if s.Placeholders {
		mark.member(s.Data[i:end], escaped, s.Data[value:behind])
	}
	return behind, nil
}

// placeholder is what one object says of an attachment. As in JavaScript the last of two equal keys
// counts.
type placeholder struct {
	is     bool
	number int
}

const noNumber = -1

// member looks at one member of the object: its key in quotes, and its value.
func (p *placeholder) member(key []byte, escaped bool, value []byte) {
	name := key[1 : len(key)-1]
	if escaped {
		name = []byte(Unquote(key))
	}
	switch string(name) {
	case "_placeholder":
		p.is = string(value) == "true"
	case "num":
		p.number = smallNumber(value)
	}
}

// smallNumber reads a JSON number that is an integer of few digits, and gives noNumber for anything
// else.
func smallNumber(value []byte) int {
	if len(value) > 6 {
		return noNumber
	}
	n := 0
	for _, c := range value {
		if !isDigit(c) {
			return noNumber
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// Unquote decodes a checked JSON string that has escapes. A lone surrogate becomes U+FFFD: Go has
// no other way to hold it.
func Unquote(quoted []byte) string {
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "" // cannot be: the Scanner has accepted it
	}
	return text
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
