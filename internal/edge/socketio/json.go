// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
)

// scanner checks JSON (RFC 8259) in one pass and without allocating. It accepts what encoding/json.Valid accepts, up to its depth.
// UTF-8 has been checked before. When placeholders is set it also checks every object that stands for an attachment.
type scanner struct {
	data         []byte
	depth        int // levels that may still be opened
	placeholders bool
	attachments  int // placeholders name 0 to attachments-1

	measured bool
	shapes   []int // with measured: of every container in the order they open: its elements or members, or what shapeOf made of a placeholder
}

// open makes room for the shape of a container, and close sets it. What was opened in between stays.
func (s *scanner) open() (shape int) {
	if s.measured {
		s.shapes = append(s.shapes, 0)
	}
	return len(s.shapes) - 1
}

func (s *scanner) close(shape, n int) {
	if s.measured {
		s.shapes[shape] = n
	}
}

// closePlaceholder forgets what was opened in between: none of it will be written.
func (s *scanner) closePlaceholder(shape, attachment int) {
	if s.measured {
		s.shapes = s.shapes[:shape+1]
		s.shapes[shape] = shapeOf(attachment)
	}
}

// shapeOf turns the number of an attachment into a shape, and back.
func shapeOf(attachment int) int { return -1 - attachment }

// fail is the position that says that something is wrong; the reason is the second result beside it.
const fail = -1

// Each method below takes the position where its part begins and returns the position behind it.

// space skips white space.
func (s *scanner) space(i int) int {
	for i < len(s.data) {
		if c := s.data[i]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		i++
	}
	return i
}

// document reads one value with white space around it and nothing behind.
func (s *scanner) document(i int) error {
	end, err := s.value(s.space(i))
	if err != nil {
		return err
	}
	return s.end(end)
}

// end makes sure that nothing but white space follows.
func (s *scanner) end(i int) error {
	if s.space(i) != len(s.data) {
		return errs[VerdictJSON]
	}
	return nil
}

func (s *scanner) value(i int) (int, error) {
	if i >= len(s.data) {
		return fail, errs[VerdictJSON]
	}
	switch c := s.data[i]; c {
	case '"':
		i, _ = s.text(i)
	case '{':
		return s.object(i)
	case '[':
		return s.array(i)
	case 't':
		i = s.word(i, "true")
	case 'f':
		i = s.word(i, "false")
	case 'n':
		i = s.word(i, "null")
	default:
		i = s.number(i)
	}
	if i == fail {
		return fail, errs[VerdictJSON]
	}
	return i, nil
}

func (s *scanner) word(i int, word string) int {
	if len(s.data)-i < len(word) || string(s.data[i:i+len(word)]) != word {
		return fail
	}
	return i + len(word)
}

func (s *scanner) digits(i int) int {
	begin := i
	for i < len(s.data) && isDigit(s.data[i]) {
		i++
	}
	if i == begin {
		return fail
	}
	return i
}

func (s *scanner) number(i int) int {
	if s.at(i) == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i == fail {
		return fail
	}
	if s.at(i) == '.' {
		if i = s.digits(i + 1); i == fail {
			return fail
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// at is the byte at i, or 0 at the end.
func (s *scanner) at(i int) byte {
	if i < len(s.data) {
		return s.data[i]
	}
	return 0
}

// text reads a string from its opening to its closing quote, and tells whether something in it is escaped.
func (s *scanner) text(i int) (end int, escaped bool) {
	i++
	for {
		i = s.plain(i)
		if i >= len(s.data) {
			return fail, escaped
		}
		switch s.data[i] {
		case '"':
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = s.escape(i + 1); i == fail {
				return fail, true
			}
		default: // a control character
			return fail, escaped
		}
	}
}

// plain skips to the next quote, backslash or control character, eight bytes at a time.
func (s *scanner) plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for i+8 <= len(s.data) {
		x := binary.LittleEndian.Uint64(s.data[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		// Each term has the high bit of a byte set where the byte is below 0x20, a quote, or a backslash. A borrow can set it wrongly
		// only in bytes behind a right one, and the first is all that is looked for.
		special := ((x - ones*0x20) &^ x) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
		if special &= highs; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
		i += 8
	}
	for i < len(s.data) {
		if c := s.data[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
		i++
	}
	return i
}

// escape reads what follows a backslash.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(s.data)-i < 5 {
			return fail
		}
		for _, c := range s.data[i+1 : i+5] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return fail
			}
		}
		return i + 5
	}
	return fail
}

func (s *scanner) array(i int) (int, error) {
	if s.depth == 0 {
		return fail, errs[VerdictDepth]
	}
	s.depth--
	shape := s.open()
	i = s.space(i + 1)
	if s.at(i) == ']' {
		s.depth++
		return i + 1, nil
	}
	return s.elements(i, shape)
}

// elements reads an opened array from one of its elements to its end.
func (s *scanner) elements(i, shape int) (int, error) {
	for n := 1; ; n++ {
		end, err := s.value(i)
		if err != nil {
			return fail, err
		}
		i = s.space(end)
		switch s.at(i) {
		case ',':
			i = s.space(i + 1)
		case ']':
			s.depth++
			s.close(shape, n)
			return i + 1, nil
		default:
			return fail, errs[VerdictJSON]
		}
	}
}

func (s *scanner) object(i int) (int, error) {
	if s.depth == 0 {
		return fail, errs[VerdictDepth]
	}
	s.depth--
	shape := s.open()
	i = s.space(i + 1)
	if s.at(i) == '}' {
		s.depth++
		return i + 1, nil
	}
	mark := placeholder{number: noNumber}
	for n := 1; ; n++ {
		end, err := s.member(i, &mark)
		if err != nil {
			return fail, err
		}
		i = s.space(end)
		switch s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			s.depth++
			if !mark.is {
				s.close(shape, n)
				return i + 1, nil
			}
			if mark.number < 0 || mark.number >= s.attachments {
				return fail, errs[VerdictPlaceholder]
			}
			s.closePlaceholder(shape, mark.number)
			return i + 1, nil
		default:
			return fail, errs[VerdictJSON]
		}
	}
}

// member reads one key and its value.
func (s *scanner) member(i int, mark *placeholder) (int, error) {
	if s.at(i) != '"' {
		return fail, errs[VerdictJSON]
	}
	end, escaped := s.text(i)
	if end == fail {
		return fail, errs[VerdictJSON]
	}
	colon := s.space(end)
	if s.at(colon) != ':' {
		return fail, errs[VerdictJSON]
	}
	value := s.space(colon + 1)
	behind, err := s.value(value)
	if err != nil {
		return fail, err
	}
	if s.placeholders {
		mark.member(s.data[i:end], escaped, s.data[value:behind])
	}
	return behind, nil
}

// placeholder is what one object says of an attachment. As in JavaScript the last of two equal keys counts.
type placeholder struct {
	is     bool
	number int
}

const noNumber = -1

// member looks at one member of the object: its key in quotes, and its value.
func (p *placeholder) member(key []byte, escaped bool, value []byte) {
	name := key[1 : len(key)-1]
	if escaped {
		name = []byte(unquote(key))
	}
	switch string(name) {
	case "_placeholder":
		p.is = string(value) == "true"
	case "num":
		p.number = smallNumber(value)
	}
}

// smallNumber reads a JSON number that is an integer of few digits, and gives noNumber for anything else.
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

// unquote decodes a checked JSON string that has escapes. A lone surrogate becomes U+FFFD: Go has no other way to hold it.
func unquote(quoted []byte) string {
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return "" // cannot be: the scanner has accepted it
	}
	return text
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
