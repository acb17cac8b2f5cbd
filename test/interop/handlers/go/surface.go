// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"slices"

	spanwire "github.com/spanwire/spanwire/sdk/go"
)

// surface: what handlers may ask of the server beside emitting.
func surface(n *spanwire.Namespace) {
	spanwire.On(n, "fetch", func(ctx context.Context, _ *spanwire.Event, room string) ([]map[string]any, error) {
		found, err := n.To(room).FetchSockets(ctx)
		if err != nil {
			return nil, err
		}
		list := make([]map[string]any, len(found.Sockets))
		for i, s := range found.Sockets {
			list[i] = map[string]any{"id": s.ID, "rooms": s.Rooms, "data": s.Data, "address": s.Handshake.Address}
		}
		return list, nil
	})
	spanwire.On(n, "set data", func(ctx context.Context, e *spanwire.Event, data json.RawMessage) (json.RawMessage, error) {
		err := e.Socket.SetData(ctx, data)
		return e.Socket.Data(), err
	})
	n.On("rooms", func(ctx context.Context, e *spanwire.Event) error {
		rooms, err := e.Socket.Rooms(ctx)
		if err != nil {
			return err
		}
		return e.Ack(anys(rooms)...)
	})
	n.On("all rooms", func(ctx context.Context, e *spanwire.Event) error {
		rooms, err := n.Rooms(ctx, spanwire.RoomsOptions{})
		if err != nil {
			return err
		}
		names := make([]string, 0, len(rooms.Sockets))
		for name := range rooms.Sockets {
			names = append(names, name)
		}
		slices.Sort(names)
		return e.Ack(anys(names)...)
	})
	type move struct{ To, Join, Leave string }
	spanwire.On(n, "move", func(_ context.Context, _ *spanwire.Event, m move) (spanwire.None, error) {
		if err := n.To(m.To).Join(m.Join); err != nil {
			return spanwire.None{}, err
		}
		return spanwire.None{}, n.To(m.Join).Leave(m.Leave)
	})
	n.OnMessage("repeat", func(_ context.Context, m *spanwire.Message) error {
		var text string
		if err := m.Bind(&text); err != nil {
			return err
		}
		return m.Ack(text)
	})
	spanwire.On(n, "server side", func(ctx context.Context, _ *spanwire.Event, text string) (map[string]any, error) {
		acks, err := n.ServerSideEmitWithAck(ctx, "repeat", text)
		if err != nil {
			return nil, err
		}
		answers := make([]json.RawMessage, len(acks.Acks))
		for i := range acks.Acks {
			answers[i] = acks.Acks[i].Raw()
		}
		return map[string]any{"answers": answers, "missing": acks.Missing}, nil
	})
}

func anys(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}

// dynamic are the namespaces that a pattern matches.
func dynamic(n *spanwire.Namespace) {
	n.OnConnect(func(context.Context, *spanwire.Socket) error { return nil })
	n.On("where", func(_ context.Context, e *spanwire.Event) error { return e.Ack(e.Socket.Namespace().Name()) })
	n.On("auth", func(_ context.Context, e *spanwire.Event) error { return e.Ack(e.Socket.Handshake().Auth) })
	spanwire.On(n, "shout", func(_ context.Context, e *spanwire.Event, text string) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Namespace().Emit("shouted", text)
	})
	spanwire.On(n, "shout to all", func(_ context.Context, _ *spanwire.Event, text string) (spanwire.None, error) {
		return spanwire.None{}, n.Emit("shouted", text)
	})
}

// roomEvents is a namespace that reports what happens to its rooms.
func roomEvents(n *spanwire.Namespace) {
	spanwire.On(n, "join", func(_ context.Context, e *spanwire.Event, room string) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Join(room)
	})
	spanwire.On(n, "leave", func(_ context.Context, e *spanwire.Event, room string) (spanwire.None, error) {
		return spanwire.None{}, e.Socket.Leave(room)
	})
	n.OnRoom(func(_ context.Context, s *spanwire.Socket, change spanwire.RoomChange, room string) {
		_ = s.Emit("room", change.String(), room) // the socket may be gone
	})
}
