// SPDX-License-Identifier: Apache-2.0

// Package wire reads and writes the messages of spanwire.v1 field by field. Broker and SDK use it
// for the few that come with every event: what the generated code allocates for each costs several
// times more than the copying itself. Everything else goes through the generated code.
package wire

import "google.golang.org/protobuf/encoding/protowire"

// The wire types that are met; the lowest bits of a field's key.
const (
	Varint  = uint64(protowire.VarintType)
	Fixed64 = uint64(protowire.Fixed64Type)
	Length  = uint64(protowire.BytesType)
)

// Sizes in bytes. All numbers of this package are below 16, so that a tag is one byte.
const (
	TagSize  = 1
	BoolSize = TagSize + 1
	IDSize   = TagSize + 8
)

// Field is one field of a message: a number for Varint and Fixed64, bytes otherwise, which are
// those of the message. A known number with another wire type is another key, and so as good as
// unknown.
type Field struct {
	Key    uint64 // number << 3 | wire type
	Number uint64
	Data   []byte
}

// Next cuts the first field off a message.
func Next(b []byte) (f Field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	b = b[n:]
	f.Key = uint64(num)<<3 | uint64(typ)
	switch typ {
	case protowire.VarintType:
		f.Number, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.Number, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		f.Data, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

// Each calls visit with the fields of a message, until one fails.
func Each(b []byte, visit func(f Field) error) error {
	for len(b) > 0 {
		f, rest, err := Next(b)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// BytesSize is the size of a field of n bytes.
func BytesSize(n int) int { return TagSize + protowire.SizeBytes(n) }

// OptionalSize is the size of a field of n bytes that is left out when empty.
func OptionalSize(n int) int {
	if n == 0 {
		return 0
	}
	return BytesSize(n)
}

// AppendHead writes what stands before the bytes of a field.
func AppendHead(b []byte, num protowire.Number, size int) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.BytesType)), uint64(size))
}

// AppendNumber writes a number as a varint.
func AppendNumber(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.VarintType)), v)
}

// AppendOptional writes bytes, unless there are none.
func AppendOptional[T ~string | ~[]byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(AppendHead(b, num, len(v)), v...)
}

// AppendBool writes true, and nothing for false.
func AppendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return AppendNumber(b, num, 1)
}
