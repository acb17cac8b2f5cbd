// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec hands frames to gRPC as bytes and takes them as bytes; see wire_read.go for why.
type codec struct{}

// inFrame is one AttachResponse as it came. Its bytes belong to whoever received it.
type inFrame struct{ data []byte }

// outFrame is one AttachRequest. Its bytes may be reused as soon as SendMsg returned.
type outFrame struct{ head, body []byte }

// Name implements encoding.CodecV2: on the wire the frames are what any other gRPC program sends.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	f := v.(*outFrame)
	size := len(f.head) + len(f.body)
	if mem.IsBelowBufferPoolingThreshold(size) {
		return mem.BufferSlice{mem.SliceBuffer(append(append(make([]byte, 0, size), f.head...), f.body...))}, nil
	}
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(size)
	*buffer = append(append((*buffer)[:0], f.head...), f.body...)
	return mem.BufferSlice{mem.NewBuffer(buffer, pool)}, nil
}

// Unmarshal implements encoding.CodecV2. gRPC takes its buffers back, so the frame is copied: once
// for all of its events.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*inFrame).data = data.Materialize()
	return nil
}

func encodeFrame(m proto.Message) (*outFrame, error) {
	data, err := proto.Marshal(m)
	return &outFrame{body: data}, err
}
