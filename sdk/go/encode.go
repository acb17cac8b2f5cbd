// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"
)

// payload holds the encoded arguments of an event or an ack: one JSON array and its attachments.
// Payloads are pooled.
type payload struct {
	args        bytes.Buffer
	encoder     *json.Encoder // writes to args
	attachments [][]byte
}

// maxPooledPayload bounds the memory that a large event leaves in the pool.
const maxPooledPayload = 64 << 10

var payloads = sync.Pool{New: func() any {
	p := &payload{}
	p.encoder = json.NewEncoder(&p.args)
	p.encoder.SetEscapeHTML(false)
	return p
}}

func newPayload() *payload { return payloads.Get().(*payload) }

// release returns the payload to the pool. A nil payload is allowed.
func (p *payload) release() {
	if p == nil {
		return
	}
	clear(p.attachments)
	p.attachments = p.attachments[:0]
	if p.args.Cap() > maxPooledPayload {
		return
	}
	p.args.Reset()
	payloads.Put(p)
}

// encode writes the arguments. It writes nothing for no arguments, which means the empty array.
func (p *payload) encode(args []any) error {
	if len(args) == 0 {
		return nil
	}
	p.args.WriteByte('[')
	for i, arg := range args {
		if i > 0 {
			p.args.WriteByte(',')
		}
		if err := p.value(arg); err != nil {
			return &EncodeError{Index: i, Err: err}
		}
	}
	p.args.WriteByte(']')
	return nil
}

var errBadRaw = errors.New("a json.RawMessage is not valid JSON in UTF-8")

func (p *payload) value(arg any) error {
	switch v := arg.(type) {
	case nil:
		p.args.WriteString("null")
	case bool:
		p.args.Write(strconv.AppendBool(p.args.AvailableBuffer(), v))
	case int:
		p.args.Write(strconv.AppendInt(p.args.AvailableBuffer(), int64(v), 10))
	case string:
		return p.text(v)
	case []byte:
		p.attach(v)
	case json.RawMessage:
		return p.raw(v)
	default:
		if value := reflect.ValueOf(arg); holdsBytes(value, 0) {
			return p.withBytes(value)
		}
		return p.json(arg)
	}
	return nil
}

// text writes a string, directly when no character needs an escape.
func (p *payload) text(s string) error {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return p.json(s)
		}
	}
	p.args.WriteByte('"')
	p.args.WriteString(s)
	p.args.WriteByte('"')
	return nil
}

func (p *payload) raw(v json.RawMessage) error {
	if v == nil {
		p.args.WriteString("null")
		return nil
	}
	if !json.Valid(v) || !utf8.Valid(v) {
		return errBadRaw
	}
	p.args.Write(v)
	return nil
}

func (p *payload) json(v any) error {
	if err := p.encoder.Encode(v); err != nil {
		return err
	}
	p.args.Truncate(p.args.Len() - 1) // the encoder ends each value with a newline
	return nil
}

// attach writes the placeholder of the next attachment.
func (p *payload) attach(data []byte) {
	p.args.WriteString(`{"_placeholder":true,"num":`)
	p.args.Write(strconv.AppendInt(p.args.AvailableBuffer(), int64(len(p.attachments)), 10))
	p.args.WriteByte('}')
	p.attachments = append(p.attachments, data)
}
