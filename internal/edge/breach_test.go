// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanwire/spanwire/internal/edge/edgetest"
	"github.com/spanwire/spanwire/internal/sio"
)

const attachment = `{"_placeholder":true,"num":0}`

// Each of these must close the session of a joined browser, count as one breach of the cause, and
// reach no service.
func TestClient_Breaches(t *testing.T) {
	for name, c := range map[string]struct {
		packets []any // string or []byte
		cause   string
	}{
		"X3 unknown type":               {[]any{`9["a"]`}, "type"},
		"X3 letters":                    {[]any{`abc`}, "type"},
		"X3 empty":                      {[]any{``}, "type"},
		"X4 object":                     {[]any{`2{}`}, "payload"},
		"X4 empty array":                {[]any{`2[]`}, "payload"},
		"X4 null as name":               {[]any{`2[null]`}, "event_name"},
		"X4 object as name":             {[]any{`2[{"toString":"foo"}]`}, "event_name"},
		"X7 connect":                    {[]any{`2["connect"]`}, "reserved"},
		"X7 connect_error":              {[]any{`2["connect_error"]`}, "reserved"},
		"X7 disconnect":                 {[]any{`2["disconnect"]`}, "reserved"},
		"X7 disconnecting":              {[]any{`2["disconnecting"]`}, "reserved"},
		"X7 newListener":                {[]any{`2["newListener"]`}, "reserved"},
		"X7 removeListener":             {[]any{`2["removeListener"]`}, "reserved"},
		"X9 name of 900 kB":             {[]any{`0/` + strings.Repeat("n", 900_000)}, "namespace"},
		"event name of 1,025 bytes":     {[]any{`2["` + strings.Repeat("n", 1025) + `"]`}, "event_name_length"},
		"X12 ack id above 2^53":         {[]any{`399999999999999999999[]`}, "ack_id"},
		"X13 event id of 20 digits":     {[]any{`299999999999999999999["a"]`}, "ack_id"},
		"X13 negative id":               {[]any{`2-1["a"]`}, "json"},
		"X14 connect error":             {[]any{`4"boom"`}, "state"},
		"X15 auth is an array":          {[]any{`0/admin,[]`}, "payload"},
		"X15 auth is a string":          {[]any{`0/admin,"s"`}, "payload"},
		"X15 auth is null":              {[]any{`0/admin,null`}, "payload"},
		"X16 disconnect with payload":   {[]any{`1{"a":1}`}, "payload"},
		"X17 200,000 arrays":            {[]any{`2["a",` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + `]`}, "depth"},
		"event without payload":         {[]any{`2`}, "payload"},
		"B1 no dash":                    {[]any{`51["echo",1]`}, "attachments"},
		"B1 no attachments":             {[]any{`50-["a"]`}, "attachments"},
		"B2 very many attachments":      {[]any{`5999999999-["a"]`}, "too_many_attachments"},
		"B3 eleven attachments":         {[]any{`511-["a"]`}, "too_many_attachments"},
		"B4 text instead":               {[]any{`52-["a"]`, []byte{1}, `2["b"]`}, "text_expected_binary"},
		"B5 more bytes than one packet": {[]any{`52-["a"]`, make([]byte, 600_000), make([]byte, 600_000)}, "attachment_bytes"},
		"B6 unexpected binary":          {[]any{[]byte{1}}, "binary_unexpected"},
		"B7 placeholder 10":             {[]any{`51-["a",{"_placeholder":true,"num":10}]`}, "placeholder"},
		"B7 placeholder -1":             {[]any{`51-["a",{"_placeholder":true,"num":-1}]`}, "placeholder"},
		"B7 placeholder text":           {[]any{`51-["a",{"_placeholder":true,"num":"splice"}]`}, "placeholder"},
		"B10 namespace not joined":      {[]any{`51-/admin,["a",` + attachment + `]`}, "state"},
	} {
		t.Run(name, func(t *testing.T) {
			bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
				b := w.Open(o)
				b.Connect("/", nil)
				for _, packet := range c.packets {
					switch packet := packet.(type) {
					case string:
						b.Send(packet)
					case []byte:
						b.SendBinary(packet)
					}
				}
				b.ExpectClosed()
				synctest.Wait()
				if w.breaches(c.cause) != 1 {
					t.Errorf("not counted as %q; the log: %s", c.cause, w.log)
				}
				if got := w.service.names(); len(got) > 0 {
					t.Errorf("the service got %q", got)
				}
				if got := w.service.reasons(); !slices.Equal(got, []sio.Reason{sio.ReasonForcedClose}) {
					t.Errorf("reasons %q", got)
				}
				if n := strings.Count(w.log.String(), "protocol violation by client"); n != 1 || strings.Contains(w.log.String(), b.SessionID) {
					t.Errorf("%d lines: %s", n, w.log)
				}
				if w.edge.unfinished.Load() != 0 || value(w.metrics.Incomplete) != 0 {
					t.Errorf("%d bytes are left", w.edge.unfinished.Load())
				}
			})
		})
	}
}

// A browser that passed a limit must learn which, with the code of its kind; one that broke a
// rule of the protocol learns nothing.
func TestClient_BreachesExplained(t *testing.T) {
	const none = "close 1005"
	for name, c := range map[string]struct {
		packets []any
		code    string // on WebSocket
		status  string // on polling
		text    string
	}{
		"attachments": {[]any{`511-["a"]`}, "close 1008", "400 Bad Request", "more attachments than the setting max-attachments allows (10)"},
		"attachment bytes": {[]any{`52-["a"]`, make([]byte, 50_000), make([]byte, 50_000)}, "close 1009", "413 Request Entity Too Large",
			"attachments larger together than the setting max-payload allows (90000)"},
		"namespace": {[]any{`0/` + strings.Repeat("n", 300)}, "close 1008", "400 Bad Request", "a longer namespace than the setting max-namespace-length allows (255)"},
		"depth": {[]any{`2["a",` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `]`}, "close 1008", "400 Bad Request",
			"deeper JSON than the setting max-json-depth allows (512)"},
		"namespaces":   {[]any{`0/open`, `0/admin`}, "close 1008", "400 Bad Request", "more namespaces than the setting max-namespaces-per-session allows (2)"},
		"connect rate": {[]any{`0/nope`, `0/nada`}, "close 1008", "429 Too Many Requests", "more connects per second than the setting connect-rate allows (1)"},
		"unfinished": {[]any{`51-["a"` + strings.Repeat(" ", 89_000) + `]`}, "close 1008", "400 Bad Request",
			"no room for another packet whose attachments have not come, see the setting max-unfinished"},
		"unknown type": {[]any{`9`}, none, "", ""},
		"not joined":   {[]any{`2/nope,["a"]`}, none, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bothTransports(t, func(s *setup) {
				s.edge.MaxNamespaces, s.edge.ConnectRate, s.edge.Engine.MaxPayload, s.edge.MaxUnfinished = 2, 1, 90_000, 90_000
				s.edge.Engine.ExplainTooLarge = true
			}, func(t *testing.T, w *world, o edgetest.Options) {
				w.edge.unfinished.Add(1001)
				defer w.edge.unfinished.Add(-1001)
				b := w.Open(o)
				b.Connect("/", nil)
				if name == "namespaces" {
					time.Sleep(2 * time.Second) // the rate allows as many again
				}
				for _, packet := range c.packets {
					switch packet := packet.(type) {
					case string:
						b.Send(packet)
					case []byte:
						b.SendBinary(packet)
					}
				}
				b.ExpectClosed()
				got := b.Failure()
				switch {
				case o.Polling && c.status == "":
					if strings.Contains(got, "setting") {
						t.Errorf("got %s", got)
					}
				case o.Polling:
					if want := c.status + ` {"code":3,"message":"` + c.text + `"}`; !strings.Contains(got, want) {
						t.Errorf("got %s, want %s", got, want)
					}
				case !strings.Contains(got, c.code) || !strings.Contains(got, c.text):
					t.Errorf("got %s, want %s %s", got, c.code, c.text)
				}
			})
		})
	}
}

// Each of these must reach the service as an ordinary event, with this name and these arguments.
func TestClient_OrdinaryEvents(t *testing.T) {
	type frames []any
	for name, c := range map[string]struct {
		packets frames
		event   string
		args    string
	}{
		"X5 number as name":         {frames{`2[1,"x"]`}, "1", `["x"]`},
		"X6 __proto__":              {frames{`2["__proto__"]`}, "__proto__", ``},
		"X6 constructor":            {frames{`2["constructor"]`}, "constructor", ``},
		"X6 hasOwnProperty":         {frames{`2["hasOwnProperty"]`}, "hasOwnProperty", ``},
		"X6 toString":               {frames{`2["toString"]`}, "toString", ``},
		"X8 error":                  {frames{`2["error",{}]`}, "error", `[{}]`},
		"X18 __proto__ in data":     {frames{`2["a",{"__proto__":{"x":1}}]`}, "a", `[{"__proto__":{"x":1}}]`},
		"X19 lone surrogate":        {frames{`2["a","\ud800"]`}, "a", `["\ud800"]`},
		"X20 numbers":               {frames{`2["a",12345678901234567890,1e999,1.0,-0]`}, "a", `[12345678901234567890,1e999,1.0,-0]`},
		"X20 key order":             {frames{`2["a",{"b":1,"2":2,"1":3}]`}, "a", `[{"b":1,"2":2,"1":3}]`},
		"B8 same placeholder twice": {frames{`51-["a",` + attachment + `,` + attachment + `]`, []byte{1}}, "a", `[` + attachment + `,` + attachment + `]`},
		"B9 placeholder as data":    {frames{`2["a",` + attachment + `]`}, "a", `[` + attachment + `]`},
		"B11 empty attachment":      {frames{`51-["a",` + attachment + `]`, []byte{}}, "a", `[` + attachment + `]`},
		"event name of 1,024 bytes": {frames{`2["` + strings.Repeat("n", 1024) + `"]`}, strings.Repeat("n", 1024), ``},
		"no arguments":              {frames{`2["a"]`}, "a", ``},
	} {
		t.Run(name, func(t *testing.T) {
			bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
				b := w.Open(o)
				b.Connect("/", nil)
				attachments := 0
				for _, packet := range c.packets {
					switch packet := packet.(type) {
					case string:
						b.Send(packet)
					case []byte:
						attachments++
						b.SendBinary(packet)
					}
				}
				synctest.Wait()
				if b.Closed() {
					t.Fatalf("closed: %s", w.log)
				}
				calls := w.service.of("/")
				ev := calls[len(calls)-1].event
				if ev.Name != c.event || string(ev.Args) != c.args || len(ev.Attachments) != attachments {
					t.Errorf("got %q %s with %d attachments", ev.Name, ev.Args, len(ev.Attachments))
				}
			})
		})
	}
}

// A packet whose attachments do not come must close the session in time; the clock stops
// between packets. (B5)
func TestClient_AttachmentsOverdue(t *testing.T) {
	bothTransports(t, nil, func(t *testing.T, w *world, o edgetest.Options) {
		timeout := w.edge.options.AttachmentTimeout
		b := w.Open(o)
		s := b.Connect("/", nil)
		s.EmitWithAck("whole", []byte{1})
		time.Sleep(10 * timeout)
		b.Send(`51-["slow",` + attachment + `]`)
		time.Sleep(timeout - time.Second)
		b.SendBinary([]byte{1})
		time.Sleep(10 * timeout)
		if b.Closed() {
			t.Fatal("closed although all came in time")
		}
		begin := time.Now()
		b.Send(`52-["late"]`)
		b.SendBinary([]byte{1})
		time.Sleep(timeout - time.Second)
		if synctest.Wait(); b.Closed() || w.edge.unfinished.Load() == 0 {
			t.Fatal("closed too soon")
		}
		b.ExpectClosed()
		synctest.Wait()
		if passed := time.Since(begin); passed > timeout+time.Second || w.breaches(causeOverdue) != 1 || w.edge.unfinished.Load() != 0 {
			t.Errorf("closed after %v, counted %v, %d bytes left", passed, w.breaches(causeOverdue), w.edge.unfinished.Load())
		}
		if got := w.service.names(); !slices.Equal(got, []string{"whole", "slow"}) {
			t.Errorf("got %q", got)
		}
	})
}

// Unfinished packets of all sessions together must stay within their limit; who would pass it is
// closed, the rest is not. (B5)
func TestServer_Unfinished(t *testing.T) {
	inBubble(t, func(s *setup) { s.edge.MaxUnfinished = 2 * s.edge.Engine.MaxPayload }, func(t *testing.T, w *world) {
		var all []*edgetest.Browser
		for range 3 {
			b := w.Open(edgetest.Options{})
			b.Connect("/", nil)
			b.Send(`52-["a"]`)
			b.SendBinary(make([]byte, 900_000))
			all = append(all, b)
			synctest.Wait()
		}
		all[2].ExpectClosed()
		if all[0].Closed() || all[1].Closed() || w.breaches(causeUnfinished) != 1 {
			t.Error("the wrong sessions were closed")
		}
		all[0].SendBinary(nil)
		synctest.Wait()
		if got := w.service.names(); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
}

// More events a second than the limit must close the session; as many as it allows must not,
// however long they go on.
func TestClient_EventRate(t *testing.T) {
	bothTransports(t, func(s *setup) { s.edge.MaxEventRate = 10 }, func(t *testing.T, w *world, o edgetest.Options) {
		b := w.Open(o)
		b.Connect("/", nil)
		for range 100 {
			b.Send(`2["steady"]`)
			b.Send(`3999[]`) // no event
			time.Sleep(time.Second / 10)
		}
		time.Sleep(time.Second)
		for range 10 {
			b.Send(`2["burst"]`)
		}
		if synctest.Wait(); b.Closed() {
			t.Fatalf("closed: %s", w.log)
		}
		b.Send(`2["too much"]`)
		b.ExpectClosed()
		synctest.Wait()
		if w.breaches(causeEventRate) != 1 || slices.Contains(w.service.names(), "too much") || len(w.service.names()) != 110 {
			t.Errorf("counted %v, got %d events", w.breaches(causeEventRate), len(w.service.names()))
		}
	})
}

// The log must show what was wrong, in one line that is not too long, and no credentials.
func TestExcerpt(t *testing.T) {
	for in, want := range map[string]string{
		`0{"token":"secret"`:        `"0"`,
		`0/admin,["secret"]`:        `"0/admin,"`,
		`0"secret"`:                 `"0"`,
		"2[\"a\n\x1b[31m\u2028é\"]": `"2[\"a\n\x1b[31m\u2028\u00e9\"]"`,
		"":                          `""`,
		strings.Repeat("x", 200):    `"` + strings.Repeat("x", 100) + `"...`,
	} {
		if got := excerpt([]byte(in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
