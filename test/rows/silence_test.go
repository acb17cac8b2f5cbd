// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/certs/certstest"
	"github.com/spanwire/spanwire/test/process"
)

// counted waits until a metric whose labels hold the pairs is above a value.
func (s *server) counted(t *testing.T, above float64, name string, labels ...string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		n, err := s.broker.Metric(name, labels...)
		if err != nil {
			t.Fatal(err)
		}
		if n > above {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s%v is %v, not above %v", name, labels, n, above)
			return
		}
	}
}

func (s *server) sample(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	n, err := s.broker.Metric(name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// provokes does something, and expects a line with the words and a metric that rises.
func (s *server) provokes(t *testing.T, metric, label string, provoke func(), words ...string) string {
	t.Helper()
	before := s.sample(t, metric, label)
	provoke()
	s.counted(t, before, metric, label)
	return s.says(t, words...)
}

// alone starts a broker without handlers.
func alone(t *testing.T, flags ...string) *server {
	t.Helper()
	b, err := process.StartBroker(binaries.broker, "broker", flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return &server{broker: b}
}

const (
	closedSessions = "spanwire_engine_closed_sessions_total"
	refusals       = "spanwire_engine_rejected_requests_total"
	breaches       = "spanwire_edge_protocol_violations_total"
	wrongProtocols = "spanwire_listener_wrong_protocol_total"
	connects       = "spanwire_edge_connects_total"
)

// flooding are settings that a page may pass.
var flooding = []string{"--max-event-rate", "5", "--max-packet-rate", "60", "--connect-timeout", "3s", "--upgrade-timeout", "1s"}

var silenceRows = []row{
	{"O15", "what a browser sent is logged by kind and length only", func(t *testing.T, w *world) {
		s := w.with(t, "--max-json-depth", "100")
		s.provokes(t, breaches, `reason="state"`, func() { s.closes(t, "40", `42/nope,["login","s3cret-1"]`) },
			"level=WARN", "protocol violation by client", "reason=state", "packet=event", "bytes=27", "session=", "address=127.0.0.1")
		s.provokes(t, breaches, `reason="type"`, func() { s.closes(t, "40", `4s3cret-2`) }, "level=WARN", "reason=type", "packet=unknown", "bytes=8")
		s.provokes(t, breaches, `reason="json"`, func() { s.closes(t, "40", `42["s3cret-3"`) }, "level=WARN", "reason=json", "packet=event")
		s.provokes(t, breaches, `reason="state"`, func() { s.closes(t, "40", `44{"message":"s3cret-4"}`) }, "level=WARN", "reason=state")
		if log := s.broker.Log(); strings.Contains(log, "s3cret") {
			t.Errorf("the log holds what browsers sent: %s", log)
		}
	}},
	{"O15b", "names that a browser chose are cut", func(t *testing.T, w *world) {
		name := strings.Repeat("n", 250)
		s := w.with(t, "--max-namespaces-per-session", "3")
		s.provokes(t, connects, `outcome="unknown_namespace"`, func() {
			c := s.connected(t)
			c.send("40/"+name+",", `42["`+name+`"]`)
			c.want("44/*")
		}, "connect refused", "reason=unknown_namespace")
		if log := s.broker.Log(); strings.Contains(log, name) {
			t.Errorf("the log holds a whole name: %s", log)
		}
	}},
	{"O15c", "with debug logging the packet is in the log as it came", func(t *testing.T, w *world) {
		s := w.with(t, "--log-level", "debug")
		s.closes(t, "40", `42/nope,["echo",1]`)
		s.says(t, "level=DEBUG", "protocol violation by client", `2/nope,[\\\"echo\\\",1]`)
		s.closes(t, "40", `42["echo",1,"`+strings.Repeat("x", 500)+`"`)
		if line := s.says(t, "level=DEBUG", "protocol violation by client", "reason=json"); len(line) > 500 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}},

	{"O23", "a proxy that drops Upgrade is named, once a minute", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "9")
		p := s.polling(t)
		for range 3 {
			refusedWith(t, s.do(t, "GET", "EIO=4&transport=websocket&sid="+p.open.SID, ""), 400, badRequest)
		}
		s.provokes(t, refusals, `reason="upgrade_header"`, func() { refusedWith(t, s.do(t, "GET", websocket4, ""), 400, badRequest) },
			"level=WARN", "no Upgrade header arrived: a proxy in front drops it")
		if n := strings.Count(s.broker.Log(), "no Upgrade header arrived"); n != 1 {
			t.Errorf("%d lines", n)
		}
		p.alive()
	}},
	{"O23b", "the list of sockets names the transport that a session is on now", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "9")
		p := s.polling(t)
		p.must("40")
		id := strings.TrimSuffix(strings.TrimPrefix(p.next()[0], `40{"sid":"`), `"}`)
		listed := func(transport string) {
			t.Helper()
			out, err := brokerSays("sockets", "--address", s.broker.Services, "--room", id)
			if lines := strings.Split(strings.TrimSpace(out), "\n"); err != nil || len(lines) != 2 || !strings.Contains(lines[1], " "+transport+" ") {
				t.Errorf("not on %s: %v, %s", transport, err, out)
			}
		}
		listed("polling")
		c := s.mustDial(t, websocket4+"&sid="+p.open.SID)
		c.send("2probe")
		c.want("3probe")
		c.send("5")
		c.echo()
		listed("websocket")
		out, err := brokerSays("sockets", "--address", s.broker.Services, "--room", id, "--json")
		if err != nil || !strings.Contains(out, `"transport":"websocket"`) {
			t.Errorf("as JSON: %v, %s", err, out)
		}
	}},
	{"O24", "an idle timeout of a proxy in front is named", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-interval", "20s")
		proxy := idleProxy(t, s.broker.HTTP, 2*time.Second)
		direct := &server{broker: &process.Broker{Process: s.broker.Process, HTTP: proxy, Operators: s.broker.Operators}}
		s.provokes(t, closedSessions, `reason="transport_close"`, func() {
			var all []*conn
			for range 7 {
				all = append(all, direct.connected(t))
				time.Sleep(150 * time.Millisecond) // browsers come when they like
			}
			for _, c := range all {
				c.closed()
			}
		}, "level=WARN", "sessions end after about 2", "s without traffic: a proxy's idle timeout? lower ping-interval", "setting=ping-interval")
	}},
	{"O24b", "clients that leave are no idle timeout", func(t *testing.T, w *world) {
		s := w.with(t, "--ping-interval", "21s")
		before := s.sample(t, closedSessions)
		for i := range 8 {
			c := s.connected(t)
			if i%2 == 0 {
				c.send("41")
				time.Sleep(1100 * time.Millisecond) // idle, and then closed properly
				_ = c.WriteControl(8, []byte{3, 232}, never)
			} else {
				c.echo()
			}
			_ = c.NetConn().Close()
		}
		s.counted(t, before+7, closedSessions)
		if strings.Contains(s.broker.Log(), "idle timeout") {
			t.Errorf("a false alarm: %s", s.broker.Log())
		}
	}},

	{"O26", "a client that is too old, or none of Socket.IO, hears so", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "8")
		refuse := func(words []string, provoke func()) {
			t.Helper()
			s.provokes(t, refusals, `reason="protocol_version"`, provoke, append(words, "level=WARN", "setting=allow-eio3")...)
			time.Sleep(time.Second) // a line a second
		}
		dial := func(query string, words string) {
			t.Helper()
			_, response, err := s.dial(t, query)
			if err == nil || response.StatusCode != 400 {
				t.Fatalf("%q was accepted: %v", query, err)
			}
			body := make([]byte, 500)
			n, _ := response.Body.Read(body)
			if got := string(body[:n]); !strings.HasPrefix(got, "Unsupported protocol version") || !strings.Contains(got, words) || !strings.Contains(got, "allow-eio3") {
				t.Errorf("%q was answered %q", query, got)
			}
		}
		refuse([]string{"plain WebSocket client"}, func() { dial("", "plain WebSocket client") })
		refuse([]string{"EIO is missing"}, func() { refusedWith(t, s.do(t, "GET", "transport=polling", ""), 400, badVersion) })
		refuse([]string{"EIO is missing"}, func() { dial("transport=websocket", "EIO is missing") })
		refuse([]string{"EIO=3"}, func() { refusedWith(t, s.do(t, "GET", "EIO=3&transport=polling", ""), 400, badVersion) })
		refuse([]string{"EIO=3"}, func() { dial("EIO=3&transport=websocket", "EIO=3") })
		refuse([]string{"EIO and transport are missing"}, func() { refusedWith(t, s.do(t, "GET", "", ""), 400, badVersion) })
	}},

	{"O25", "a handler that dials the browsers' port hears what listens there, and so does the operator", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "5")
		s.provokes(t, wrongProtocols, `reason="http2"`, func() { w.dials(t, s.broker.HTTP, "speaks HTTP/1", "50051") },
			"level=WARN", "HTTP/2, as gRPC speaks it, arrived at http-address", "listener=browsers", s.broker.Services, "setting=service-address")
	}},
	{"O25p", "HTTP/2 at a listener for HTTP is one fault, not also one of its path or host", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "5")
		for _, address := range []string{s.broker.HTTP, s.broker.Operators} {
			before := len(s.broker.Log())
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(limit))
			if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 505") {
				t.Errorf("answered %.40q", b)
			}
			if said := s.broker.Log()[before:]; strings.Contains(said, "request rejected") {
				t.Errorf("%s", said)
			}
		}
	}},
	{"O25b", "a handler without TLS at a port with TLS hears that, and so does the operator", func(t *testing.T, w *world) {
		cert, key, _ := certstest.New(t).Write(t.TempDir(), "127.0.0.1")
		s := alone(t, "--service-tls-cert", cert, "--service-tls-key", key)
		s.provokes(t, wrongProtocols, `reason="http2"`, func() { w.dials(t, s.broker.Services, "speaks TLS", "SPANWIRE_TLS_CA") },
			"level=WARN", "gRPC without TLS arrived at service-address", "setting=service-tls-cert")
	}},
	{"O25c", "a handler with TLS at a port without hears that, and so does the operator", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "5")
		s.provokes(t, wrongProtocols, `reason="tls"`, func() { w.dials(t, s.broker.Services, "does not speak TLS", "service-tls-cert", "SPANWIRE_TLS=true") },
			"level=WARN", "TLS arrived at service-address", "setting=service-tls-cert")
	}},
	{"O25d", "what arrives at the wrong listener is named by it", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "5")
		send := func(address, text string) {
			t.Helper()
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
		}
		const get = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
		s.provokes(t, wrongProtocols, `reason="http1"`, func() { send(s.broker.Services, get) },
			"HTTP/1 arrived at service-address", "listener=services", s.broker.HTTP, "setting=http-address")
		s.provokes(t, wrongProtocols, `reason="tls"`, func() { send(s.broker.HTTP, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
			"TLS arrived at http-address", "listener=browsers", "setting=http-tls-cert")
		s.provokes(t, wrongProtocols, `reason="proxy_protocol"`, func() { send(s.broker.HTTP, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"+get) },
			"PROXY protocol arrived at http-address", "setting=proxy-protocol")
		s.provokes(t, wrongProtocols, `listener="operators"`, func() { send(s.broker.Operators, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
			"arrived at operator-address", "setting=service-address")
	}},
	{"O25e", "a command that dials the wrong port says what listens there", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "5")
		for address, words := range map[string]string{s.broker.HTTP: "speaks HTTP/1", s.broker.Operators: "speaks HTTP/1", "127.0.0.1:1": "nothing listens"} {
			out, err := brokerSays("services", "--address", address, "--timeout", "5s")
			if err == nil || !strings.Contains(out, words) {
				t.Errorf("%s: %v, %s", address, err, out)
			}
		}
		if out, err := brokerSays("sockets", "--address", s.broker.Services, "--tls", "--timeout", "5s"); err == nil || !strings.Contains(out, "does not speak TLS") {
			t.Errorf("with TLS: %v, %s", err, out)
		}
	}},

	{"O29", "a message that is too large ends the session with a line", func(t *testing.T, w *world) {
		s := w.with(t, small...)
		s.provokes(t, closedSessions, `reason="payload_too_large"`, func() {
			c := s.connected(t)
			c.send("42" + strings.Repeat("x", 200_000))
			c.closed()
		}, "level=WARN", "session closed", `reason="payload too large"`, "setting=max-payload", "transport=websocket")
		s.provokes(t, closedSessions, `reason="payload_too_large"`, func() { s.polling(t).post("4" + strings.Repeat("x", 200_000)) },
			"level=WARN", "setting=max-payload", "max-payload allows")
	}},
	{"O29b", "a packet that cannot be read ends the session with a line", func(t *testing.T, w *world) {
		s := w.with(t, small...)
		s.provokes(t, closedSessions, `reason="parse_error"`, func() { s.closes(t, "9s3cret") },
			"level=WARN", "session closed", `reason="parse error"`, "transport=websocket")
		s.provokes(t, closedSessions, `reason="parse_error"`, func() { s.polling(t).post("9s3cret") },
			"level=WARN", "session closed", `reason="parse error"`, "transport=polling")
	}},
	{"O29c", "a browser that does not read ends the session with a line", func(t *testing.T, w *world) {
		s := w.with(t, "--max-outbound", "100000", "--write-timeout", "1s")
		s.provokes(t, closedSessions, `reason="slow_consumer"`, func() {
			p := s.polling(t)
			p.must("40")
			p.want("40*")
			for range 4 {
				large := strings.NewReader(`42["echo","` + strings.Repeat("x", 60_000) + `"]` + "\x1e" + `421["echo","` + strings.Repeat("x", 60_000) + `"]`)
				// the session may end meanwhile
				_, _ = s.try("POST", "/socket.io/?"+p.query, large, "Content-Type", "text/plain")
			}
		}, "level=WARN", "session closed", "slow consumer", "setting=")
	}},
	{"O29d", "a namespace that nobody serves is named", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "7")
		s.provokes(t, connects, `outcome="unknown_namespace"`, func() {
			c := s.connected(t)
			c.send("40/admn,")
			c.want("44/admn,*")
		}, "level=WARN", "connect refused", "no service registered the namespace", "namespace=/admn")
	}},
	{"O29m", "who follows what happens sees what nobody handles and connects that are refused", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "9")
		p, err := process.Start("tail", "", nil, binaries.broker, "tail", "--address", s.broker.Services, "--json")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if err := p.WaitFor("following replica", limit); err != nil {
			t.Fatal(err)
		}
		c := s.connected(t)
		c.send("40/admn,", "40/admin,", `42["nobody handles this",7]`)
		for _, words := range []string{
			`"kind":"connect_refused","namespace":"/admn"`, "no service registered the namespace", `"kind":"connect_refused","namespace":"/admin"`,
			"a connect handler refused", `"kind":"unhandled","namespace":"/"`, `"name":"nobody handles this","args":[7]`,
		} {
			if err := p.WaitFor(words, limit); err != nil {
				t.Error(err)
			}
		}
	}},
	{"O29e", "a path that is not served is counted and logged", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "7")
		s.provokes(t, refusals, `reason="path"`, func() { s.doAt(t, "GET", "/ws/socket.io/?"+polling4, nil) },
			"level=WARN", "request rejected", "reason=path", "setting=path", "/socket.io/", "path=/ws/socket.io/")
		s.provokes(t, refusals, `reason="path"`, func() { s.doAt(t, "GET", "/socket.io?"+polling4, nil) }, "level=WARN", "reason=path", "setting=path")
		time.Sleep(time.Second) // a line a second
		s.provokes(t, refusals, `reason="path"`, func() { s.doAt(t, "GET", "/foo", nil) }, "level=INFO", "nothing is served at this path", "upstream", "path=/foo")
	}},
	{"O29f", "a path that the web application does not serve either is counted and logged", func(t *testing.T, w *world) {
		app := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(app.Close)
		s := alone(t, "--upstream", app.URL)
		s.provokes(t, refusals, `reason="path"`, func() {
			s.doAt(t, "GET", "/favicon.ico", nil)
			s.doAt(t, "GET", "/ws/socket.io/?"+polling4, nil)
		}, "level=WARN", "reason=path", "setting=path", "path=/ws/socket.io/")
		if n := s.sample(t, refusals, `reason="path"`); n != 1 {
			t.Errorf("counted %v: pages are the application's matter", n)
		}
	}},
	{"O29g", "a connect handler that refuses is named", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "7")
		s.provokes(t, connects, `outcome="refused"`, func() {
			c := s.connected(t)
			c.send("40/admin,")
			c.want("44/admin,*")
		}, "level=INFO", "connect refused", "handler refused", "namespace=/admin", "service=")
	}},
	{"O29h", "an upgrade that fails has a line", func(t *testing.T, w *world) {
		s := w.with(t, flooding...)
		const upgrades, failed = "spanwire_engine_upgrades_total", `outcome="failed"`
		s.provokes(t, upgrades, failed, func() { s.mustDial(t, websocket4+"&sid="+s.polling(t).open.SID) },
			"level=WARN", "upgrade to WebSocket failed", "setting=upgrade-timeout", "reason=timeout")
		s.provokes(t, upgrades, failed, func() { s.mustDial(t, websocket4+"&sid="+s.polling(t).open.SID).send("4hello") },
			"level=WARN", "upgrade to WebSocket failed", "reason=packet")
		s.provokes(t, upgrades, failed, func() { _ = s.mustDial(t, websocket4+"&sid="+s.polling(t).open.SID).Close() },
			"level=INFO", "upgrade to WebSocket failed", "reason=connection")
	}},
	{"O29i", "a session that never joins has a line", func(t *testing.T, w *world) {
		s := w.with(t, flooding...)
		s.provokes(t, "spanwire_edge_connect_timeouts_total", "", func() { s.websocket(t).closed() },
			"level=WARN", "session closed", "no namespace was joined", "setting=connect-timeout")
	}},
	{"O29j", "a page that floods has a line", func(t *testing.T, w *world) {
		s := w.with(t, flooding...)
		s.provokes(t, breaches, `reason="event_rate"`, func() {
			c := s.connected(t)
			for range 20 {
				c.send(`42["echo",1]`)
			}
			c.closed()
		}, "level=WARN", "session closed", "reason=event_rate", "setting=max-event-rate")
		s.provokes(t, closedSessions, `reason="too_many_packets"`, func() {
			c := s.websocket(t)
			for range 500 {
				c.send("3")
			}
			c.closed()
		}, "level=WARN", "session closed", "setting=max-packet-rate")
	}},
	{"O29n", "a caller without the token, and a registration that makes no sense, have a line", func(t *testing.T, w *world) {
		s := alone(t, "--service-tokens", "right-and-long")
		const rejected = "spanwire_bridge_unauthenticated_total"
		s.provokes(t, rejected, "", func() {
			if out, err := brokerSays("services", "--address", s.broker.Services, "--token", "s3cret", "--timeout", "5s"); err == nil {
				t.Errorf("accepted: %s", out)
			}
		}, "level=WARN", "call rejected", "reason=unauthenticated", "setting=", "service-tokens", "address=127.0.0.1")
		if strings.Contains(s.broker.Log(), "s3cret") {
			t.Errorf("the log holds what the caller showed: %s", s.broker.Log())
		}
	}},
	{"O29k", "a broker without any handler says so", func(t *testing.T, w *world) {
		s := alone(t)
		c := s.websocket(t)
		c.send("40")
		s.says(t, "level=WARN", "no handler service is attached", "service-address")
	}},
	{"O29l", "a connect that waited in vain has a line", func(t *testing.T, w *world) {
		s := alone(t, "--connect-hold", "1s")
		s.provokes(t, connects, `outcome="absent"`, func() {
			c := s.websocket(t)
			c.send("40")
			c.closed()
		}, "level=WARN", "session closed", "setting=connect-hold")
	}},

	{"O30", "each limit that a browser passes names its setting", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "3", "--max-json-depth", "5", "--max-namespace-length", "20", "--max-event-name-length", "20",
			"--max-payload", "1000", "--max-namespaces-per-session", "3", "--attachment-timeout", "500ms", "--connect-rate", "100")
		for setting, packets := range map[string][]string{
			"max-attachments":       {`454-["echo",{"_placeholder":true,"num":0}]`},
			"max-json-depth":        {`42["echo",[[[[[[1]]]]]]]`},
			"max-namespace-length":  {"40/" + strings.Repeat("n", 30) + ","},
			"max-event-name-length": {`42["` + strings.Repeat("n", 30) + `"]`},
			"attachment-timeout":    {`451-["echo",{"_placeholder":true,"num":0}]`},
			"max-payload":           {`452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, "\x00" + strings.Repeat("x", 600), "\x00" + strings.Repeat("x", 600)},
		} {
			before := s.sample(t, breaches)
			c := s.connected(t)
			for _, p := range packets {
				if data, ok := strings.CutPrefix(p, "\x00"); ok {
					c.sendBinary(data)
				} else {
					c.send(p)
				}
			}
			c.closed()
			s.counted(t, before, breaches)
			s.says(t, "level=WARN", "session closed: protocol violation by client", "setting="+setting, "than the setting "+setting+" allows")
		}
		s.provokes(t, breaches, `reason="namespaces"`, func() {
			c := s.connected(t)
			for _, room := range []string{"40/room-1,", "40/room-2,"} {
				c.send(room)
				c.want(room + "*")
			}
			time.Sleep(100 * time.Millisecond) // as many may come at once, and no more
			c.send("40/room-3,")
			c.closed()
		}, "level=WARN", "session closed: protocol violation by client", "setting=max-namespaces-per-session")
		s = w.with(t, "--max-namespaces-per-session", "2", "--connect-rate", "1")
		s.provokes(t, breaches, `reason="connect_rate"`, func() { s.closes(t, "40/a,", "40/b,", "40/c,", "40/d,", "40/e,", "40/f,") },
			"level=WARN", "session closed: protocol violation by client", "setting=connect-rate")
	}},
	{"O30c", "a header that is too large is refused with a line", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "6")
		s.provokes(t, "spanwire_http_rejected_requests_total", `reason="header"`, func() {
			if a := s.do(t, "GET", polling4, "", "Cookie", strings.Repeat("c", 200_000)); a.status != 431 {
				t.Errorf("answered %d", a.status)
			}
		}, "level=WARN", "request rejected", "setting=max-header", "listener=browsers")
	}},
	{"O30d", "a call that is larger than a frame names the setting", func(t *testing.T, w *world) {
		s := w.with(t, "--max-payload", "5000", "--max-frame", "80000", "--max-unfinished", "5000")
		out, err := brokerSays("emit", "--address", s.broker.Services, "news", `"`+strings.Repeat("x", 100_000)+`"`)
		if err == nil || !strings.Contains(out, "max-frame") {
			t.Errorf("%v, %s", err, out)
		}
	}},
	{"O30b", "the line about a page of the broker's own origin behind a proxy does not advise to list it", func(t *testing.T, w *world) {
		s := w.with(t, "--max-attachments", "6")
		for name, c := range map[string]struct {
			words   string
			headers []string
		}{
			"forwarded headers of nobody": {"setting=trusted-proxies", []string{"Origin", "https://app.example.com", "X-Forwarded-Host", "app.example.com", "X-Forwarded-Proto", "https"}},
			"TLS ends in front":           {"setting=trusted-proxies", []string{"Origin", "https://app.example.com", "Host", "app.example.com"}},
			"Host without its port":       {"setting=trusted-proxies", []string{"Origin", "http://app.example.com:8100", "Host", "app.example.com"}},
			"Host replaced":               {"setting=trusted-proxies", []string{"Origin", "http://app.example.com:8100", "X-Forwarded-For", "192.0.2.1"}},
			"Host of the proxy's backend": {"setting=trusted-proxies", []string{"Origin", "https://app.example.com", "Host", "backend", "X-Forwarded-For", "192.0.2.1"}},
			"another site":                {"setting=allowed-origins", []string{"Origin", "https://evil.example"}},
			"another site by a proxy":     {"setting=allowed-origins", []string{"Origin", "https://evil.example", "Host", "app.example.com", "X-Forwarded-For", "192.0.2.1"}},
			"a page on another port":      {"setting=allowed-origins", []string{"Origin", "http://127.0.0.1:3000"}},
		} {
			before := len(s.broker.Log())
			a := s.do(t, "GET", polling4, "", c.headers...)
			if setting := strings.TrimPrefix(c.words, "setting="); a.status != 403 || !strings.Contains(a.body, setting) {
				t.Errorf("%s: answered %d %s", name, a.status, a.body)
			}
			for end := time.Now().Add(limit); !strings.Contains(s.broker.Log()[before:], c.words); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Errorf("%s: no line with %s", name, c.words)
					break
				}
				s.do(t, "GET", polling4, "", c.headers...) // a line a second
			}
		}
	}},
}

// dials starts a handler that dials an address where it finds no broker, and expects a line of it
// with the words. A last word with a = is a variable of its environment.
func (w *world) dials(t *testing.T, address string, words ...string) {
	t.Helper()
	env := []string{"SPANWIRE_ADDRESS=" + address}
	if last := words[len(words)-1]; strings.Contains(last, "=") {
		env, words = append(env, last), words[:len(words)-1]
	}
	p, err := process.Start("handler", "", env, w.handler...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	for _, word := range words {
		if err := p.WaitFor(word, limit); err != nil {
			t.Error(err)
		}
	}
}

// idleProxy passes TCP on, and cuts connections on which nothing went either way for a time. It
// gives its address.
func idleProxy(t *testing.T, target string, idle time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			cut := time.AfterFunc(idle, func() {
				_ = near.Close()
				_ = far.Close()
			})
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() { // ends with either connection, at the latest when the timer cuts them
					buffer := make([]byte, 32<<10)
					for {
						n, err := way[0].Read(buffer)
						if err != nil {
							return
						}
						cut.Reset(idle)
						if _, err := way[1].Write(buffer[:n]); err != nil {
							return
						}
					}
				}()
			}
		}
	}()
	return l.Addr().String()
}
