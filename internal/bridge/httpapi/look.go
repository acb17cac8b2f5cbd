// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
	"github.com/spanwire/spanwire/internal/apijson"
)

// found is what every answer to a query tells.
type found struct {
	Truncated      bool     `json:"truncated"`
	SilentReplicas []string `json:"silent_replicas"`
	Error          *problem `json:"error,omitempty"`
}

func foundFromProto(a *spanwirev1.Answer) (f found, code int) {
	f = found{Truncated: a.GetTruncated(), SilentReplicas: apijson.NotNil(a.GetSilentReplicas())}
	f.Error, code = problemFromFault(a.GetFault())
	if a.GetFault() == nil && len(a.GetSilentReplicas()) > 0 {
		f.Error, code = late("some replicas did not answer in time; what they know is missing")
	}
	return f, code
}

// sockets lists the sockets of a target.
func (c *call) sockets() error {
	var b struct {
		target
		patience
		Limit uint32 `json:"limit"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	to, err := b.message()
	if err != nil {
		return err
	}
	r, err := c.execute(&spanwirev1.Command{Command: &spanwirev1.Command_FetchSockets{
		FetchSockets: &spanwirev1.FetchSockets{Target: to, TimeoutMs: b.TimeoutMS, Limit: b.Limit},
	}}, "")
	if err != nil {
		return err
	}
	var body struct {
		Sockets []apijson.Socket `json:"sockets"`
		found
	}
	var code int
	body.Sockets = apijson.Sockets(r.GetAnswer().GetFound())
	body.found, code = foundFromProto(r.GetAnswer())
	return c.answer(code, body)
}

// rooms lists the rooms of a namespace.
func (c *call) rooms() error {
	var b struct {
		patience
		Namespace  string `json:"namespace"`
		IncludeOwn bool   `json:"include_own"`
		Local      bool   `json:"local"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	r, err := c.execute(&spanwirev1.Command{Command: &spanwirev1.Command_ListRooms{
		ListRooms: &spanwirev1.ListRooms{Namespace: b.Namespace, IncludeOwn: b.IncludeOwn, Local: b.Local, TimeoutMs: b.TimeoutMS},
	}}, "")
	if err != nil {
		return err
	}
	var body struct {
		Rooms []apijson.Room `json:"rooms"`
		found
	}
	var code int
	body.Rooms = apijson.Rooms(r.GetAnswer().GetRooms())
	body.found, code = foundFromProto(r.GetAnswer())
	return c.answer(code, body)
}

// services lists the services and the replicas.
func (c *call) services() error {
	if err := c.read(&struct{}{}); err != nil {
		return err
	}
	r, err := c.Emitter.ListServices(c.ctx, &spanwirev1.ListServicesRequest{})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, apijson.Message(r))
}

// retire forgets an absent service.
func (c *call) retire() error {
	var b struct {
		Service string `json:"service"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	r, err := c.Emitter.RetireService(c.ctx, &spanwirev1.RetireServiceRequest{Service: b.Service})
	if err != nil {
		return err
	}
	var body struct {
		Connects       uint32   `json:"connects"`
		Dropped        uint32   `json:"dropped"`
		SilentReplicas []string `json:"silent_replicas"`
		Error          *problem `json:"error,omitempty"`
	}
	code := http.StatusOK
	body.Connects, body.Dropped, body.SilentReplicas = r.GetConnects(), r.GetDropped(), apijson.NotNil(r.GetSilentReplicas())
	if len(r.GetSilentReplicas()) > 0 {
		body.Error, code = late("some replicas did not answer in time; they may still wait for the service")
	}
	return c.answer(code, body)
}

// tail writes what happens, one line for each traceEvent, until the caller goes away.
func (c *call) tail() error {
	var b struct {
		Namespace string `json:"namespace"`
		SocketID  string `json:"socket_id"`
		Room      string `json:"room"`
		Service   string `json:"service"`
	}
	if err := c.read(&b); err != nil {
		return err
	}
	t := &tailing{call: c}
	err := c.Emitter.Tail(&spanwirev1.TailRequest{Namespace: b.Namespace, SocketId: b.SocketID, Room: b.Room, Service: b.Service}, t)
	switch {
	case t.begun:
		return nil // the end of the lines says that it is over
	case status.Code(err) == codes.ResourceExhausted:
		return &failure{http.StatusTooManyRequests, "TOO_MANY", status.Convert(err).Message()}
	}
	return err
}

// tailing is the stream of a Tail whose other end is a response.
type tailing struct {
	grpc.ServerStream // never called
	*call
	begun bool
}

// Context implements grpc.ServerStream.
func (t *tailing) Context() context.Context { return t.ctx }

// Send implements grpc.ServerStreamingServer.
func (t *tailing) Send(m *spanwirev1.TailResponse) error {
	if !t.begun {
		t.begun = true
		t.w.Header().Set("Content-Type", "application/x-ndjson")
		t.w.WriteHeader(http.StatusOK)
	}
	lines := json.NewEncoder(t.w)
	for _, o := range m.GetOccurrences() {
		if err := lines.Encode(apijson.TraceEventFromProto(o, "")); err != nil {
			return err
		}
	}
	return http.NewResponseController(t.w).Flush()
}
