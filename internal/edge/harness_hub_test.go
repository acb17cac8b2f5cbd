// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"context"

	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/sio"
)

// emitWithAcks delivers the emit in the whole cluster and waits for the acks.
func emitWithAcks(ctx context.Context, h *hub.Hub, e *sio.Emit) (sockets int, acks sio.Acks, err error) {
	sockets, collect := h.AskEveryone(ctx, e)
	acks, err = collect()
	return sockets, acks, err
}
