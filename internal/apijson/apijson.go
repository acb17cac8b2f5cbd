// SPDX-License-Identifier: Apache-2.0

// Package apijson writes what the contract carries as JSON for shells and people: arguments are
// real values, and what is binary is an object with the one member "_bytes". It knows the contract
// only; the HTTP API and the command line both speak it.
package apijson

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Unpack takes the binary parts out of arguments, each written as {"_bytes":"base64"}: placeholders
// take their places. All else stays as it was written. raw is a JSON array; nothing, and null, mean
// an empty one.
func Unpack(raw []byte) (args []byte, attachments [][]byte, err error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil, nil
	}
	if raw[0] != '[' {
		return nil, nil, errors.New("must be a list, one element for each argument")
	}
	args, err = rewrite(raw, func(members map[string]json.Token) ([]byte, error) {
		text, ok := members["_bytes"].(string)
		if !ok || len(members) != 1 {
			return nil, nil
		}
		part, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf(`holds "_bytes" that are not base64: %w`, err)
		}
		attachments = append(attachments, part)
		return fmt.Appendf(nil, `{"_placeholder":true,"num":%d}`, len(attachments)-1), nil
	})
	return args, attachments, err
}

// Pack puts the attachments back into arguments, as Unpack takes them.
func Pack(args []byte, attachments [][]byte) json.RawMessage {
	if len(args) == 0 {
		return json.RawMessage("[]")
	}
	if len(attachments) == 0 {
		return args
	}
	packed, err := rewrite(args, func(members map[string]json.Token) ([]byte, error) {
		n, ok := members["num"].(json.Number)
		if members["_placeholder"] != true || !ok {
			return nil, nil
		}
		i, err := strconv.Atoi(n.String())
		if err != nil || i < 0 || i >= len(attachments) {
			return nil, nil //nolint:nilerr // it is ordinary data then
		}
		return json.Marshal(map[string]string{"_bytes": base64.StdEncoding.EncodeToString(attachments[i])})
	})
	if err != nil {
		return args // it was checked on its way; whatever it is, it is shown
	}
	return packed
}

// open is an object or array that has been begun.
type open struct {
	from    int
	object  bool
	members map[string]json.Token // scalars of an object
	key     string
	wantKey bool
	nested  bool
}

// replaced returns what replace gives for an object of scalars only, and nil for anything else.
func (o *open) replaced(replace func(members map[string]json.Token) ([]byte, error)) ([]byte, error) {
	if !o.object || o.nested || len(o.members) == 0 {
		return nil, nil
	}
	return replace(o.members)
}

// rewrite puts something else in the place of the objects, of scalars only, for which replace gives
// it. The rest stays byte for byte.
func rewrite(raw []byte, replace func(members map[string]json.Token) ([]byte, error)) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var stack []*open
	var out []byte
	done := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("is not well-formed JSON: %w", err)
		}
		end := int(d.InputOffset())
		switch token {
		case json.Delim('{'), json.Delim('['):
			if len(stack) > 0 {
				stack[len(stack)-1].nest()
			}
			object := token == json.Delim('{')
			stack = append(stack, &open{from: end - 1, object: object, wantKey: object})
		case json.Delim('}'), json.Delim(']'):
			last := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			with, err := last.replaced(replace)
			if err != nil {
				return nil, err
			}
			if with != nil {
				out = append(append(out, raw[done:last.from]...), with...)
				done = end
			}
		default:
			if len(stack) > 0 {
				stack[len(stack)-1].take(token)
			}
		}
	}
	if len(stack) > 0 {
		return nil, errors.New("is not well-formed JSON: it ends too early")
	}
	return append(out, raw[done:]...), nil
}

// nest notes that a value of the container is no scalar.
func (o *open) nest() { o.nested, o.wantKey = true, o.object }

// take notes a key, or a scalar.
func (o *open) take(token json.Token) {
	switch {
	case !o.object:
	case o.wantKey:
		o.key, o.wantKey = token.(string), false
	default:
		const enough = 3 // members; an object with more is none of ours
		if o.members == nil {
			o.members = make(map[string]json.Token)
		}
		if len(o.members) < enough {
			o.members[o.key] = token
		}
		o.wantKey = true
	}
}
