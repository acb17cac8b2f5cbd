// SPDX-License-Identifier: Apache-2.0

// Package wire encodes and decodes messages of spanwire.v1 field by field. The broker and the Go
// SDK use it for the few messages of every event: the allocations of the generated code cost
// several times more than the copy of the bytes. All other messages use the generated code.
package wire

import "google.golang.org/protobuf/encoding/protowire"

// The wire types in use, the lowest bits of a field's key.
const (
	Varint  = uint64(protowire.VarintType)
	Fixed64 = uint64(protowire.Fixed64Type)
	Length  = uint64(protowire.BytesType)
)

// Sizes in bytes. All field numbers of this package are below 16, so a tag has one byte.
const (
	TagSize  = 1
	BoolSize = TagSize + 1
	IDSize   = TagSize + 8
)

// Field is one field of a message. Number is set for Varint and Fixed64, Data for Length; it points
// into the message. A known number with another wire type has another key, and so counts as an
// unknown field.
type Field struct {
	Key    uint64 // number << 3 | wire type
	Number uint64
	Data   []byte
}

// Next returns the first field of a message and the rest.
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

// Each calls visit with each field of a message. It stops at the first error.
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

// BytesSize returns the size of a field with n bytes.
func BytesSize(n int) int { return TagSize + protowire.SizeBytes(n) }

// OptionalSize returns the size of a field with n bytes that is omitted when empty.
func OptionalSize(n int) int {
	if n == 0 {
		return 0
	}
	return BytesSize(n)
}

// AppendHead appends the tag and the length of a field with size bytes.
func AppendHead(b []byte, num protowire.Number, size int) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.BytesType)), uint64(size))
}

// AppendNumber appends a number as a varint.
func AppendNumber(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(append(b, byte(num<<3)|byte(protowire.VarintType)), v)
}

// AppendOptional appends a field with bytes, unless v is empty.
func AppendOptional[T ~string | ~[]byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(AppendHead(b, num, len(v)), v...)
}

// AppendBool appends a field with true, and nothing for false.
func AppendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return AppendNumber(b, num, 1)
}
