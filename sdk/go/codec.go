// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// codec passes frames to and from gRPC as bytes; wire_read.go says why.
type codec struct{}

// inFrame is one AttachResponse as received. The receiver owns its bytes.
type inFrame struct{ data []byte }

// outFrame is one AttachRequest. Its bytes may be reused when SendMsg has returned.
type outFrame struct{ head, body []byte }

// Name implements encoding.CodecV2. The frames on the wire are those of any gRPC program.
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

// Unmarshal implements encoding.CodecV2. It copies the frame once for all of its events, since gRPC
// reuses its buffers.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*inFrame).data = data.Materialize()
	return nil
}

func encodeFrame(m proto.Message) (*outFrame, error) {
	data, err := proto.Marshal(m)
	return &outFrame{body: data}, err
}
