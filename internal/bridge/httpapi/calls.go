// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"net/http"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/apijson"
)

// outcome is what every answer to a command tells.
type outcome struct {
	Sockets        uint32   `json:"sockets"`
	Dropped        uint32   `json:"dropped,omitempty"`
	SilentReplicas []string `json:"silent_replicas"`
	Replayed       bool     `json:"replayed"`
	Partial        string   `json:"partial,omitempty"`
	Error          *problem `json:"error,omitempty"`
}

func outcomeFromProto(r *spanwirev1.ExecuteResponse) (o outcome, status int) {
	a := r.GetAnswer()
	o = outcome{
		Sockets: a.GetSockets(), Dropped: a.GetDropped(), SilentReplicas: apijson.NotNil(a.GetSilentReplicas()), Replayed: r.GetReplayed(),
		Partial: apijson.Partial(a),
	}
	o.Error, status = problemFromFault(a.GetFault())
	return o, status
}

// late is the failure of an answer that lacks something.
func late(message string) (*problem, int) {
	return &problem{"DEADLINE_EXCEEDED", message}, http.StatusGatewayTimeout
}

func (c *call) execute(command *spanwirev1.Command, key string) (*spanwirev1.ExecuteResponse, error) {
	return c.Emitter.Execute(c.ctx, &spanwirev1.ExecuteRequest{Command: command, IdempotencyKey: key})
}

// change executes a command that changes sockets, and answers with how many there are.
func (c *call) change(command *spanwirev1.Command, key string) error {
	r, err := c.execute(command, key)
	if err != nil {
		return err
	}
	o, status := outcomeFromProto(r)
	return c.answer(status, o)
}

// emitting is the body of emit and call.
type emitting struct {
	target
	event
	patience
	keyed
	Volatile   bool `json:"volatile"`
	NoCompress bool `json:"no_compress"`
}

func (b *emitting) message() (*spanwirev1.Emit, error) {
	to, err := b.target.message()
	if err != nil {
		return nil, err
	}
	ev, err := b.event.message()
	if err != nil {
		return nil, err
	}
	return &spanwirev1.Emit{Target: to, Event: ev, Volatile: b.Volatile, NoCompress: b.NoCompress, AckTimeoutMs: b.TimeoutMS}, nil
}

// emit sends an event.
func (c *call) emit() error {
	var b struct {
		emitting
		Count bool `json:"count"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	m, err := b.message()
	if err != nil {
		return err
	}
	m.WantCount = b.Count
	return c.change(&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: m}}, b.IdempotencyKey)
}

// call sends an event and answers with the acks. All must come.
func (c *call) call() error {
	var b emitting
	if err := c.read(&b); err != nil {
		return err
	}
	m, err := b.message()
	if err != nil {
		return err
	}
	m.WantAcks, m.WantCount = true, true
	r, err := c.execute(&spanwirev1.Command{Command: &spanwirev1.Command_Emit{Emit: m}}, b.IdempotencyKey)
	if err != nil {
		return err
	}
	var body struct {
		outcome
		Acks    []apijson.Ack `json:"acks"`
		Missing uint32        `json:"missing"`
	}
	var status int
	body.outcome, status = outcomeFromProto(r)
	a := r.GetAnswer()
	body.Acks, body.Missing = apijson.Acks(a.GetAcks()), a.GetMissing()
	switch {
	case len(a.GetSilentReplicas()) > 0:
		body.Error, status = late("some replicas did not answer in time; what their sockets answered is missing")
	case a.GetFault() != nil:
	case a.GetMissing() > 0:
		body.Error, status = late("some sockets did not answer in time, or left")
	case a.GetSockets() == 0:
		body.Error, status = &problem{"NOT_FOUND", "nobody is there to answer"}, http.StatusNotFound
	}
	return c.answer(status, body)
}

func (c *call) join() error {
	var b struct {
		target
		keyed
		Join  []string `json:"join"`
		Count bool     `json:"count"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	if len(b.Join) == 0 {
		return invalid(`"join" must list the rooms to join; "rooms" chooses the sockets`)
	}
	to, err := b.message()
	if err != nil {
		return err
	}
	return c.change(&spanwirev1.Command{Command: &spanwirev1.Command_Join{
		Join: &spanwirev1.Join{Target: to, Rooms: b.Join, WantCount: b.Count},
	}}, b.IdempotencyKey)
}

func (c *call) leave() error {
	var b struct {
		target
		keyed
		Leave []string `json:"leave"`
		Count bool     `json:"count"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	if len(b.Leave) == 0 {
		return invalid(`"leave" must list the rooms to leave; "rooms" chooses the sockets`)
	}
	to, err := b.message()
	if err != nil {
		return err
	}
	return c.change(&spanwirev1.Command{Command: &spanwirev1.Command_Leave{
		Leave: &spanwirev1.Leave{Target: to, Rooms: b.Leave, WantCount: b.Count},
	}}, b.IdempotencyKey)
}

func (c *call) disconnect() error {
	var b struct {
		target
		keyed
		CloseSession bool `json:"close_session"`
		Count        bool `json:"count"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	to, err := b.message()
	if err != nil {
		return err
	}
	return c.change(&spanwirev1.Command{Command: &spanwirev1.Command_Disconnect{
		Disconnect: &spanwirev1.Disconnect{Target: to, CloseSession: b.CloseSession, WantCount: b.Count},
	}}, b.IdempotencyKey)
}

// setData keeps data with a socket. A conflict tells what is there.
func (c *call) setData() error {
	var b struct {
		keyed
		Namespace string          `json:"namespace"`
		SocketID  string          `json:"socket_id"`
		Data      json.RawMessage `json:"data"`
		IfVersion uint64          `json:"if_version"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	if string(b.Data) == "null" {
		b.Data = nil
	}
	r, err := c.execute(&spanwirev1.Command{Command: &spanwirev1.Command_SetData{SetData: &spanwirev1.SetData{
		Namespace: b.Namespace, SocketId: b.SocketID, Data: b.Data, IfVersion: b.IfVersion,
	}}}, b.IdempotencyKey)
	if err != nil {
		return err
	}
	var body struct {
		outcome
		DataVersion uint64          `json:"data_version"`
		Data        json.RawMessage `json:"data,omitempty"`
	}
	var status int
	body.outcome, status = outcomeFromProto(r)
	body.DataVersion, body.Data = r.GetAnswer().GetDataVersion(), r.GetAnswer().GetData()
	return c.answer(status, body)
}

// serverSideEmit sends a message to instances.
func (c *call) serverSideEmit() error {
	var b struct {
		event
		patience
		keyed
		Namespace string   `json:"namespace"`
		Services  []string `json:"services"`
		WantAcks  bool     `json:"want_acks"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	ev, err := b.message()
	if err != nil {
		return err
	}
	r, err := c.execute(&spanwirev1.Command{Command: &spanwirev1.Command_ServerSideEmit{ServerSideEmit: &spanwirev1.ServerSideEmit{
		Namespace: b.Namespace, Services: b.Services, Event: ev, WantAcks: b.WantAcks, AckTimeoutMs: b.TimeoutMS,
	}}}, b.IdempotencyKey)
	if err != nil {
		return err
	}
	a := r.GetAnswer()
	var body struct {
		Acks           []apijson.InstanceAck `json:"acks"`
		Missing        uint32                `json:"missing"`
		SilentReplicas []string              `json:"silent_replicas"`
		Replayed       bool                  `json:"replayed"`
		Error          *problem              `json:"error,omitempty"`
	}
	var status int
	body.Acks, body.Missing, body.Replayed = apijson.InstanceAcks(a.GetInstanceAcks()), a.GetMissing(), r.GetReplayed()
	body.SilentReplicas = apijson.NotNil(a.GetSilentReplicas())
	body.Error, status = problemFromFault(a.GetFault())
	if a.GetFault() == nil && (a.GetMissing() > 0 || len(a.GetSilentReplicas()) > 0) {
		body.Error, status = late("some instances did not answer in time, or left")
	}
	return c.answer(status, body)
}
