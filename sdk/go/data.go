// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// socketData is the data that the broker keeps with a socket, as this process knows it.
type socketData struct {
	json    json.RawMessage
	version uint64
}

var noData = &socketData{}

// keepData stores the data unless a later version is known.
func (s *Socket) keepData(d *socketData) {
	for {
		old := s.data.Load()
		if old != nil && old.version > d.version || s.data.CompareAndSwap(old, d) {
			return
		}
	}
}

func (s *Socket) knownData() *socketData {
	if d := s.data.Load(); d != nil {
		return d
	}
	return noData
}

// Data returns the data of the socket, one JSON value, or nil for none. It is the data at the
// introduction of the socket to this instance, or that which this instance set last. Use it for
// state that must follow the socket to other instances, such as a user id.
func (s *Socket) Data() json.RawMessage { return s.knownData().json }

// BindData decodes the data of the socket into target. Without data it leaves target unchanged.
func (s *Socket) BindData(target any) error {
	if d := s.Data(); len(d) > 0 {
		return json.Unmarshal(d, target)
	}
	return nil
}

// SetData replaces the data of the socket. The broker keeps it for the life of the socket, across
// instances and recovery, and includes it in the result of FetchSockets. Nil removes it.
//
// Use UpdateData when several instances change the data.
func (s *Socket) SetData(ctx context.Context, value any) error {
	return s.setData(ctx, value, 0)
}

// UpdateData changes the data of the socket without losing concurrent changes. It calls change with
// the present data and stores the result; it calls change again when the data changed meanwhile. An
// error of change ends the update and is returned.
func (s *Socket) UpdateData(ctx context.Context, change func(present json.RawMessage) (any, error)) error {
	for {
		known := s.knownData()
		value, err := change(known.json)
		if err != nil {
			return err
		}
		err = s.setData(ctx, value, known.version)
		var refused *CommandError
		if !errors.As(err, &refused) || refused.Code != FaultConflict {
			return err
		}
	}
}

func (s *Socket) setData(ctx context.Context, value any, ifVersion uint64) error {
	data, err := dataJSON(value)
	if err != nil {
		return err
	}
	a, err := s.query(ctx, otherCommand(&spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{
		Namespace: s.namespace.name, SocketId: s.id, Data: data, IfVersion: ifVersion,
	}}}))
	switch {
	case err == nil:
		s.keepData(&socketData{data, a.GetDataVersion()})
	case a.GetDataVersion() > 0: // a conflict carries the present data
		s.keepData(&socketData{a.GetData(), a.GetDataVersion()})
	}
	return err
}

func dataJSON(value any) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	p := newPayload()
	defer p.release()
	if err := p.json(value); err != nil {
		return nil, err
	}
	if !utf8.Valid(p.args.Bytes()) { // a json.RawMessage may hold any bytes
		return nil, errBadRaw
	}
	return append([]byte(nil), p.args.Bytes()...), nil
}
