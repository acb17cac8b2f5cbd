// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/api/wire"
)

// emitFlags are the options of an emit that travel with it to each browser. A new one is added to
// this file, and gets its method of Target.
type emitFlags struct {
	volatile   bool
	noCompress bool
}

// size is how many bytes append writes.
func (f emitFlags) size() (n int) {
	for _, flag := range [...]bool{f.volatile, f.noCompress} {
		if flag {
			n += wire.BoolSize
		}
	}
	return n
}

// append writes the flags as fields of an Emit.
func (f emitFlags) append(b []byte) []byte {
	b = wire.AppendBool(b, wire.EmitVolatile, f.volatile)
	return wire.AppendBool(b, wire.EmitNoCompress, f.noCompress)
}

// toProto sets the flags of an Emit of the generated code.
func (f emitFlags) toProto(m *spanwirev1.Emit) {
	m.Volatile, m.NoCompress = f.volatile, f.noCompress
}
