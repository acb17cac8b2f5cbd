// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"context"
	"encoding/json"
	"errors"
	"unicode/utf8"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// socketData is what the broker keeps with a socket, as this process knows it.
type socketData struct {
	json    json.RawMessage
	version uint64
}

var noData = &socketData{}

// keepData remembers the data unless something later is known.
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

// Data gives what handlers keep with the socket, one JSON value, as it was when the socket was
// introduced to this instance or set by it last. It is nil when there is nothing.
func (s *Socket) Data() json.RawMessage { return s.knownData().json }

// BindData decodes what handlers keep with the socket. Without anything it leaves the target as it
// is.
func (s *Socket) BindData(target any) error {
	if d := s.Data(); len(d) > 0 {
		return json.Unmarshal(d, target)
	}
	return nil
}

// SetData keeps a value with the socket, whatever was there: for as long as the socket lives,
// across instances and recovery. Nil takes it away. FetchSockets tells it to everyone.
func (s *Socket) SetData(ctx context.Context, value any) error {
	return s.setData(ctx, value, 0)
}

// UpdateData changes what is kept with the socket without losing what others set meanwhile: change
// is given the present value and returns the new one; it is called again when the value was changed
// by somebody else before the new one arrived. An error of change ends the update and is returned.
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
	case a.GetDataVersion() > 0: // a conflict tells what is there
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
	if !utf8.Valid(p.args.Bytes()) { // a json.RawMessage can bring that
		return nil, errBadRaw
	}
	return append([]byte(nil), p.args.Bytes()...), nil
}
