// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/jsonscan"
)

// What services send is checked before it goes to browsers: a browser closes its connection over
// bytes that are not UTF-8, and throws over JSON that is not well-formed. encoding/json does not
// look at the former, nor at the depth.

var (
	errUTF8  = errors.New("is not valid UTF-8")
	errArray = errors.New("is not a JSON array")
)

// jsonArray checks the arguments of an event or an ack, and gives them without surrounding space:
// nil for an empty array.
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
	if s := (jsonscan.Scanner{Data: b}); s.At(s.Space(1)) == ']' {
		return nil, nil
	}
	return b, nil
}

// jsonValue checks one JSON value, and gives it without surrounding space.
func jsonValue(b []byte, depth int) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, errUTF8
	}
	return scan(&jsonscan.Scanner{Data: b, Depth: depth})
}

// scan checks the scanner's data, which is one value.
func scan(s *jsonscan.Scanner) ([]byte, error) {
	depth, from := s.Depth, s.Space(0)
	to, err := s.Value(from)
	if err == nil {
		err = s.End(to)
	}
	if err == jsonscan.ErrDepth {
		err = fmt.Errorf("is nested deeper than %d (setting max-json-depth)", depth)
	}
	if err != nil {
		return nil, err
	}
	return s.Data[from:to], nil
}
