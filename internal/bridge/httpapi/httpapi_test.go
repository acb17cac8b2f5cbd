// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emitter gives the answers that are set, and records what it was asked.
type emitter struct {
	spanwirev1.UnimplementedEmitterServiceServer
	asked  *spanwirev1.ExecuteRequest
	answer *spanwirev1.ExecuteResponse
	err    error
	silent []string // of a retired service
	tail   func(*spanwirev1.TailRequest, grpc.ServerStreamingServer[spanwirev1.TailResponse]) error
}

func (e *emitter) Execute(_ context.Context, m *spanwirev1.ExecuteRequest) (*spanwirev1.ExecuteResponse, error) {
	e.asked = m
	return e.answer, e.err
}

func (e *emitter) ListServices(context.Context, *spanwirev1.ListServicesRequest) (*spanwirev1.ListServicesResponse, error) {
	return &spanwirev1.ListServicesResponse{Replica: "r", Services: []*spanwirev1.ServiceInfo{{Service: "chat"}}}, e.err
}

func (e *emitter) RetireService(_ context.Context, m *spanwirev1.RetireServiceRequest) (*spanwirev1.RetireServiceResponse, error) {
	if m.GetService() != "gone" {
		return nil, status.Error(codes.FailedPrecondition, "it has instances")
	}
	return &spanwirev1.RetireServiceResponse{Connects: 2, Dropped: 1, SilentReplicas: e.silent}, e.err
}

func (e *emitter) Tail(m *spanwirev1.TailRequest, s grpc.ServerStreamingServer[spanwirev1.TailResponse]) error {
	return e.tail(m, s)
}

func options(e *emitter) Options {
	return Options{
		Emitter: e, Open: true, Host: "127.0.0.1", MaxBody: 1024, BodyTimeout: time.Second,
		Authenticate: func(r *http.Request) (context.Context, error) {
			if r.Header.Get("Authorization") == "Bearer wrong" {
				return nil, status.Error(codes.Unauthenticated, "the metadata `authorization` must be right")
			}
			return r.Context(), nil
		},
	}
}

// ask sends a request: "POST /emit {...}", with headers of the form "Name: value".
func ask(o Options, request string, headers ...string) *httptest.ResponseRecorder {
	method, rest, _ := strings.Cut(request, " ")
	path, body, _ := strings.Cut(rest, " ")
	r := httptest.NewRequest(method, Prefix+strings.TrimPrefix(path, "/"), strings.NewReader(body))
	r.Host = "127.0.0.1:9090"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	New(o).ServeHTTP(w, r)
	return w
}

// Requests become the commands of the contract.
func TestNew_commands(t *testing.T) {
	for request, want := range map[string]string{
		`POST /emit {"event":"news","args":[{"a":1},{"_bytes":"AQ=="}],"namespace":"/n","rooms":["x"],"except":["y"],"timeout_ms":5000,` +
			`"idempotency_key":"k","count":true,"volatile":true,"no_compress":true,"local":true}`: `command:{emit:{target:{namespace:"/n" rooms:"x" ` +
			`except:"y" local:true} event:{name:"news" args:"[{\"a\":1},{\"_placeholder\":true,\"num\":0}]" attachments:"\x01"} volatile:true ` +
			`no_compress:true ack_timeout_ms:5000 want_count:true}} idempotency_key:"k"`,
		`POST /emit {"event":"x","pattern":true}`:               `command:{emit:{target:{pattern:true} event:{name:"x"}}}`,
		`POST /call {"event":"x"}`:                              `command:{emit:{target:{} event:{name:"x"} want_acks:true want_count:true}}`,
		`POST /join {"rooms":["a"],"join":["b","c"]}`:           `command:{join:{target:{rooms:"a"} rooms:"b" rooms:"c"}}`,
		`POST /leave {"leave":["b"]}`:                           `command:{leave:{target:{} rooms:"b"}}`,
		`POST /leave {"leave":["b"],"count":true}`:              `command:{leave:{target:{} rooms:"b" want_count:true}}`,
		`POST /disconnect {"rooms":["a"],"close_session":true}`: `command:{disconnect:{target:{rooms:"a"} close_session:true}}`,
		`POST /disconnect {"count":true}`:                       `command:{disconnect:{target:{} want_count:true}}`,
		`POST /join {"join":["b"],"count":true}`:                `command:{join:{target:{} rooms:"b" want_count:true}}`,
		`POST /set-data {"socket_id":"s","data":{"a":1.0},"if_version":3}`: `command:{set_data:{socket_id:"s" data:"{\"a\":1.0}" ` +
			`if_version:3}}`,
		`POST /set-data {"socket_id":"s","data":null}`: `command:{set_data:{socket_id:"s"}}`,
		`POST /server-side-emit {"event":"m","services":["s"],"want_acks":true,"timeout_ms":1}`: `command:{server_side_emit:{services:"s" ` +
			`event:{name:"m"} want_acks:true ack_timeout_ms:1}}`,
		`POST /sockets {"rooms":["a"],"limit":3,"timeout_ms":7}`:         `command:{fetch_sockets:{target:{rooms:"a"} timeout_ms:7 limit:3}}`,
		`GET /sockets?rooms=a&rooms=b&limit=3&local=true`:                `command:{fetch_sockets:{target:{rooms:"a" rooms:"b" local:true} limit:3}}`,
		`GET /rooms?namespace=/n&include_own=1`:                          `command:{list_rooms:{namespace:"/n" include_own:true}}`,
		`POST /rooms {}`:                                                 `command:{list_rooms:{}}`,
		`POST /emit {"event":"x","rooms":["a"],"args":[1e3, "\u00e9" ]}`: `command:{emit:{target:{rooms:"a"} event:{name:"x" args:"[1e3, \"\\u00e9\" ]"}}}`,
	} {
		e := &emitter{answer: &spanwirev1.ExecuteResponse{Answer: &spanwirev1.Answer{Sockets: 1}}}
		w := ask(options(e), request)
		got := strings.ReplaceAll(prototext.MarshalOptions{}.Format(e.asked), "  ", " ")
		if w.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d %s\n got %s\nwant %s", request, w.Code, w.Body, got, want)
		}
	}
}

// An invalid request is rejected with what to correct, and reaches nobody.
func TestNew_refusals(t *testing.T) {
	large := `POST /emit {"event":"` + strings.Repeat("x", 1024) + `"}`
	for _, tt := range []struct {
		request string
		header  string
		code    int
		says    string
	}{
		{`POST /emit {"event":"x","romms":["a"]}`, "", 400, `field \"romms\" is not known; there are args, count, event, except`},
		{`POST /emit {"event":"x","rooms":[]}`, "", 400, `leave it out to mean every socket`},
		{`POST /emit {"event":"x","rooms":"a"}`, "", 400, `field \"rooms\" must be a list of texts`},
		{`POST /emit {"event":"x","timeout_ms":-1}`, "", 400, `field \"timeout_ms\" must be a whole number that is not negative`},
		{`POST /emit {"event":1}`, "", 400, `field \"event\" must be a text`},
		{`POST /emit {"event":"x","count":"yes"}`, "", 400, `field \"count\" must be true or false`},
		{`POST /emit {"event":"x","args":{}}`, "", 400, `\"args\" must be a list`},
		{`POST /emit {"event":"x","args":[{"_bytes":"?"}]}`, "", 400, `not base64`},
		{`POST /emit {"event":`, "", 400, "not well-formed JSON"},
		{`POST /emit {} {}`, "", 400, "not well-formed JSON"},
		{`POST /emit []`, "", 400, "must be one JSON object"},
		{`POST /emit?event=x {}`, "", 400, "in the body, not in the query"},
		{`POST /join {"rooms":["a"]}`, "", 400, `\"join\" must list the rooms`},
		{`POST /leave {"rooms":["a"]}`, "", 400, `\"leave\" must list the rooms`},
		{`GET /sockets?room=a`, "", 400, `parameter \"room\" is not known; there are except, limit`},
		{`GET /sockets?limit=many`, "", 400, `parameter \"limit\" must be a whole number`},
		{`GET /sockets?limit=1&limit=2`, "", 400, `parameter \"limit\" must be`},
		{`GET /sockets?local=maybe`, "", 400, `true or false`},
		{`POST /services {"a":1}`, "", 400, `not known`},
		{`POST /emit {"event":"x"}`, "Content-Type: text/plain", 415, "application/json"},
		{`POST /emit {"event":"x"}`, "Content-Type: application/x-www-form-urlencoded", 415, "application/json"},
		{`POST /emit {"event":"x"}`, "Origin: http://evil.example", 403, "other origins"},
		{`POST /emit {"event":"x"}`, "Origin: null", 403, "other origins"},
		{`GET /sockets`, "Sec-Fetch-Site: cross-site", 403, "other origins"},
		{`POST /emit {"event":"x"}`, "Host: evil.example:9090", 403, "loopback"},
		{`POST /emit {"event":"x"}`, "Host: 192.0.2.1:9090", 403, "loopback"},
		{`POST /emit {"event":"x"}`, "Authorization: Bearer wrong", 401, "header Authorization must be right"},
		{`GET /emit`, "", 405, "takes POST, not GET"},
		{`PUT /sockets {}`, "", 405, "takes GET, POST, not PUT"},
		{`POST /emti {}`, "", 404, "there are /api/v1/call, /api/v1/disconnect"},
		{large, "", 413, "setting max-call-body"},
	} {
		e := &emitter{answer: &spanwirev1.ExecuteResponse{}}
		w := ask(options(e), tt.request, tt.header)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.says) || e.asked != nil {
			t.Errorf("%.60s %s: %d %s, asked %v; want %d and %s", tt.request, tt.header, w.Code, w.Body, e.asked, tt.code, tt.says)
		}
		if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") == "" || w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: headers %v", tt.request, w.Header())
		}
	}
	closed := options(&emitter{})
	closed.Closed = "set service-tokens"
	if w := ask(closed, `GET /services`); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "set service-tokens") {
		t.Errorf("closed: %d %s", w.Code, w.Body)
	}
}

// Programs on this machine call by any of its names; who shows credentials, by any name at all; a
// page of the entry point's own, too.
func TestNew_hosts(t *testing.T) {
	e := &emitter{answer: &spanwirev1.ExecuteResponse{}}
	o := options(e)
	o.Host = "broker.local"
	for _, h := range []string{"localhost:9090", "LOCALHOST", "127.0.0.2", "[::1]:9090", "broker.local:9090"} {
		if w := ask(o, `GET /services`, "Host: "+h); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", h, w.Code, w.Body)
		}
	}
	if w := ask(o, `POST /emit {"event":"x"}`, "Origin: http://localhost:9090", "Host: localhost:9090", "Sec-Fetch-Site: same-origin"); w.Code != http.StatusOK {
		t.Errorf("own origin: %d %s", w.Code, w.Body)
	}
	o.Open = false
	if w := ask(o, `GET /services`, "Host: broker.example"); w.Code != http.StatusOK {
		t.Errorf("with credentials: %d %s", w.Code, w.Body)
	}
}

// Answers tell what came, with the status of what did not.
func TestNew_answers(t *testing.T) {
	ack := []*spanwirev1.SocketAck{{SocketId: "s", Ack: &spanwirev1.Ack{Args: []byte(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}}}}
	fault := func(code spanwirev1.FaultCode) *spanwirev1.Fault { return &spanwirev1.Fault{Code: code, Message: "m"} }
	for _, tt := range []struct {
		request string
		answer  *spanwirev1.Answer
		err     error
		code    int
		body    string
	}{
		{`POST /emit {"event":"x"}`, &spanwirev1.Answer{Sockets: 3}, nil, 200, `{"sockets":3,"silent_replicas":[],"replayed":true}`},
		{`POST /emit {"event":"x"}`, &spanwirev1.Answer{Sockets: 3, SilentReplicas: []string{"r"}}, nil, 200,
			`{"sockets":3,"silent_replicas":["r"],"replayed":true,"partial":"carried out for the 3 sockets counted here; not known`},
		{`POST /emit {"event":"x"}`, &spanwirev1.Answer{Sockets: 1, Fault: fault(4)}, nil, 503,
			`unless it is done with the idempotency key of this call","error":{"code":"BACKPLANE_UNAVAILABLE","message":"m"}}`},
		{`POST /emit {"event":"x"}`, nil, status.Error(codes.InvalidArgument, "m"), 400, `{"error":{"code":"INVALID_ARGUMENT","message":"m"}}`},
		{`POST /emit {"event":"x"}`, nil, status.Error(codes.PermissionDenied, "m"), 403, `{"error":{"code":"PERMISSION_DENIED","message":"m"}}`},
		{`POST /call {"event":"x"}`, &spanwirev1.Answer{Sockets: 1, Acks: ack}, nil, 200,
			`{"sockets":1,"silent_replicas":[],"replayed":true,"acks":[{"socket_id":"s","args":[{"_bytes":"AQ=="}]}],"missing":0}`},
		{`POST /call {"event":"x"}`, &spanwirev1.Answer{Sockets: 2, Acks: ack, Missing: 1}, nil, 504, `"missing":1}`},
		{`POST /call {"event":"x"}`, &spanwirev1.Answer{Sockets: 1, Acks: ack, Fault: fault(4), SilentReplicas: []string{"r"}}, nil, 504, `"socket_id":"s"`},
		{`POST /call {"event":"x"}`, &spanwirev1.Answer{}, nil, 404, `nobody is there`},
		{`POST /set-data {"socket_id":"s"}`, &spanwirev1.Answer{Fault: fault(6), Data: []byte(`{"a":1}`), DataVersion: 4}, nil, 409, `"data_version":4,"data":{"a":1}}`},
		{`POST /set-data {"socket_id":"s"}`, &spanwirev1.Answer{Fault: fault(5)}, nil, 404, `NOT_FOUND`},
		{`POST /server-side-emit {"event":"m"}`, &spanwirev1.Answer{Missing: 1}, nil, 504, `{"acks":[],"missing":1,"silent_replicas":[],"replayed":true,"error":`},
		{`GET /sockets`, &spanwirev1.Answer{Found: []*spanwirev1.SocketInfo{{SocketId: "s", Rooms: []string{"s", "r"}, DataVersion: 1, Replica: "q"}}}, nil, 200,
			`{"sockets":[{"socket_id":"s","rooms":["s","r"],"data":null,"data_version":1,"replica":"q"}],"truncated":false,"silent_replicas":[]}`},
		{`GET /sockets`, &spanwirev1.Answer{SilentReplicas: []string{"r"}}, nil, 504, `{"sockets":[],"truncated":false,"silent_replicas":["r"],"error":`},
		{`GET /rooms`, &spanwirev1.Answer{Rooms: []*spanwirev1.RoomInfo{{Name: "r", Sockets: 2}}}, nil, 200, `{"rooms":[{"name":"r","sockets":2}],"truncated":false`},
		{`GET /services`, nil, nil, 200, `"services":[{"service":"chat"`},
	} {
		w := ask(options(&emitter{answer: &spanwirev1.ExecuteResponse{Answer: tt.answer, Replayed: true}, err: tt.err}), tt.request)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s\nwant %d %s", tt.request, w.Code, w.Body, tt.code, tt.body)
		}
	}
}

// Retiring a service tells what went on, and who did not answer.
func TestNew_retire(t *testing.T) {
	for _, tt := range []struct {
		request string
		silent  []string
		err     error
		code    int
		body    string
	}{
		{`POST /services/retire {"service":"gone"}`, nil, nil, 200, `{"connects":2,"dropped":1,"silent_replicas":[]}`},
		{`POST /services/retire {"service":"gone"}`, []string{"r"}, nil, 504, `"silent_replicas":["r"],"error":{"code":"DEADLINE_EXCEEDED"`},
		{`POST /services/retire {"service":"here"}`, nil, nil, 409, `{"error":{"code":"FAILED_PRECONDITION","message":"it has instances"}}`},
		{`POST /services/retire {"service":"gone"}`, nil, status.Error(codes.PermissionDenied, "m"), 403, `PERMISSION_DENIED`},
		{`GET /services/retire`, nil, nil, 405, `takes POST, not GET`},
		{`POST /services/retire {"name":"gone"}`, nil, nil, 400, `there are service`},
	} {
		w := ask(options(&emitter{silent: tt.silent, err: tt.err}), tt.request)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s: %d %s\nwant %d %s", tt.request, w.Code, w.Body, tt.code, tt.body)
		}
	}
}

// A tail writes a line for each traceEvent as it comes, and ends with its caller; one too many is
// asked to wait.
func TestNew_tail(t *testing.T) {
	e := &emitter{}
	happened := make(chan string)
	ended := make(chan struct{})
	e.tail = func(m *spanwirev1.TailRequest, s grpc.ServerStreamingServer[spanwirev1.TailResponse]) error {
		defer close(ended)
		if m.GetRoom() != "r" {
			t.Errorf("asked for %v", m)
		}
		for first := true; ; first = false {
			x := new(spanwirev1.TailResponse)
			if !first {
				select {
				case detail := <-happened:
					x.Occurrences = []*spanwirev1.Occurrence{{Kind: spanwirev1.OccurrenceKind_OCCURRENCE_KIND_EMITTED, Detail: detail,
						TimeUs: 1, Event: &spanwirev1.Event{Name: "e", Args: []byte(`[1,`)}, DispatchId: 1 << 63}}
				case <-s.Context().Done():
					return s.Context().Err()
				}
			}
			if err := s.Send(x); err != nil {
				return err
			}
		}
	}
	server := httptest.NewServer(New(options(e)))
	defer server.Close()
	response, err := http.Get(server.URL + Prefix + "tail?room=r") //nolint:noctx // ended below
	if err != nil {
		t.Fatal(err)
	}
	happened <- "one"
	want := `{"time":"1970-01-01T00:00:00.000001Z","kind":"emitted","event":{"name":"e","args_cut":"[1,"},"dispatch_id":"9223372036854775808","detail":"one"}` + "\n"
	line := make([]byte, len(want))
	if _, err := io.ReadFull(response.Body, line); err != nil || string(line) != want {
		t.Errorf("%q, %v", line, err)
	}
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "application/x-ndjson" {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	response.Body.Close()
	<-ended

	e.tail = func(*spanwirev1.TailRequest, grpc.ServerStreamingServer[spanwirev1.TailResponse]) error {
		return status.Error(codes.ResourceExhausted, "setting max-tails")
	}
	if w := ask(options(e), `GET /tail`); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "max-tails") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
