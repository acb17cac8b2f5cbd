// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec carries the frames of Attach as bytes, and all other messages as the generated code writes
// them. On the wire there is no difference.
type codec struct{}

// inFrame is an AttachRequest as it came. Its bytes belong to the receiver.
type inFrame struct{ data []byte }

// outFrame is an AttachResponse: a head and a body, put together. Its bytes may be reused as soon
// as SendMsg returned.
type outFrame struct {
	head, body []byte
	reusable   bool // body is a chunk of the outbox
}

// Name implements encoding.CodecV2.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *outFrame:
		size := len(m.head) + len(m.body)
		if mem.IsBelowBufferPoolingThreshold(size) {
			return mem.BufferSlice{mem.SliceBuffer(append(append(make([]byte, 0, size), m.head...), m.body...))}, nil
		}
		pool := mem.DefaultBufferPool()
		buffer := pool.Get(size)
		*buffer = append(append((*buffer)[:0], m.head...), m.body...)
		return mem.BufferSlice{mem.NewBuffer(buffer, pool)}, nil
	case proto.Message:
		data, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(data)}, err
	}
	return nil, fmt.Errorf("%T is no message", v)
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *inFrame:
		m.data = data.Materialize()
		return nil
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("%T is no message", v)
}
