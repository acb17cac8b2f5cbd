// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spanwire/spanwire/internal/jsonscan"
)

// Services send payloads that browsers read: a browser closes its connection over bytes that are
// not UTF-8, and throws over JSON that is not well-formed. encoding/json checks neither the former
// nor the depth.

var (
	errUTF8  = errors.New("is not valid UTF-8")
	errArray = errors.New("is not a JSON array")
)

// CheckPayload checks the arguments of an event or an ack, and their attachments: the standard
// client closes its connection over a placeholder that names no attachment. Without attachments a
// placeholder is ordinary data. It returns the arguments without surrounding space, nil for an
// empty array. The error completes a sentence that begins with the name of the payload.
func CheckPayload(args []byte, attachments [][]byte, depth int) ([]byte, error) {
	args, err := jsonArray(args, depth)
	if err != nil || len(attachments) == 0 || len(args) == 0 {
		return args, err
	}
	return scan(&jsonscan.Scanner{Data: args, Depth: depth, Placeholders: true, Attachments: len(attachments)})
}

// CheckJSON checks one JSON value, and returns it without surrounding space. The error completes a
// sentence that begins with the name of the value.
func CheckJSON(b []byte, depth int) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, errUTF8
	}
	return scan(&jsonscan.Scanner{Data: b, Depth: depth})
}

// jsonArray checks a JSON array, and returns it without surrounding space: nil for an empty array.
func jsonArray(b []byte, depth int) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	b, err := CheckJSON(b, depth)
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
