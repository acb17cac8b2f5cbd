// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/test/process"
)

// exposedBroker starts a broker whose operators' listener can be reached from other machines, and
// gives the address at which it is asked as from one of them.
func exposedBroker(t *testing.T, flags ...string) (b *process.Broker, outside string) {
	t.Helper()
	ip := outsideIP(t)
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address) // it is one
	// What stands later counts: the broker listens on all interfaces, and on the loopback too.
	b, err = process.StartBrokerAt(binaries.broker, "broker", address, append([]string{"--operator-address", "0.0.0.0:" + port}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Kill)
	return b, net.JoinHostPort(ip, port)
}

// outsideIP is an address of this machine beside the loopback. A machine without a network is given
// one.
func outsideIP(t *testing.T) string {
	t.Helper()
	find := func() string {
		all, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
				return ip.IP.String()
			}
		}
		return ""
	}
	if ip := find(); ip != "" {
		return ip
	}
	const add = "ip address add 192.0.2.2/32 dev lo"
	if out, err := exec.Command("sh", "-c", add).CombinedOutput(); err != nil {
		t.Logf("%s: %v\n%s", add, err, out)
	}
	ip := find()
	if ip == "" {
		t.Fatal("this row needs an IPv4 address beside the loopback; as root: " + add)
	}
	return ip
}

var operatorRows = []row{
	{"O11", "the operators' listener shows no secret on any path", func(t *testing.T, _ *world) {
		secrets := []string{"first-long-secret", "second-long-secret", "third-long-secret"}
		b := bareBroker(t, "--service-tokens", secrets[0], "--cluster-secret="+secrets[1], "--nats-token", secrets[2])
		for path, want := range map[string]int{
			"/debug/pprof/cmdline": 404, "/debug/pprof/cmdline/": 404, "/debug/vars": 404, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=2": 200,
			"/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/allocs?debug=1": 200,
			"/debug/pprof/threadcreate?debug=1": 200, "/debug/pprof/trace?seconds=0.2": 200, "/metrics": 200, "/status": 200, "/": 200, "/healthz": 200, "/readyz": 200,
		} {
			a := at(t, b.Operators, path)
			if a.status != want {
				t.Errorf("%s was answered %d", path, a.status)
			}
			for _, secret := range secrets {
				if strings.Contains(a.body, secret) {
					t.Errorf("%s shows %s", path, secret)
				}
			}
			csp := a.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s has the headers %v", path, a.header)
			}
		}
		for i, name := range []string{"service-tokens", "cluster-secret", "nats-token"} {
			if err := b.WaitFor("process list", limit); err != nil || !strings.Contains(b.Log(), "setting="+name+"-file") || strings.Contains(b.Log(), secrets[i]) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"O11b", "the operators' listener answers addresses and known names only, on every path", func(t *testing.T, _ *world) {
		b := bareBroker(t, "--operator-hosts", "Ops.example.com,*.svc.example.com:9090")
		paths := []string{"/", "/metrics", "/status", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/goroutine", "/api/v1/services", "/nothing"}
		for host, ok := range map[string]bool{
			b.Operators: true, "127.0.0.1": true, "localhost:5001": true, "[::1]:5001": true, "192.0.2.77:5001": true, "ops.example.com": true, "OPS.example.com.:5001": true,
			"a.svc.example.com:9090": true, "evil.example": false, "evil.example:5001": false, "127.0.0.1.evil.example": false, "ops.example.com.evil.example": false,
			"a.svc.example.com": false, "localhost.evil.example": false,
		} {
			for _, path := range paths {
				a := at(t, b.Operators, path, "Host", host)
				if refused := a.status == 403 && strings.Contains(a.body, "operator-hosts"); refused == ok {
					t.Errorf("%s of %s was answered %d %s", path, host, a.status, a.body)
				}
			}
		}
		for _, path := range []string{"/metrics", "/debug/pprof/profile?seconds=1"} {
			if a := at(t, b.Operators, path, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"); a.status != 403 {
				t.Errorf("%s was answered %d to a page of another origin", path, a.status)
			}
		}
		if n, err := b.Metric("spanwire_http_rejected_requests_total", `listener="operators"`, `reason="host"`); err != nil || n < 6*9 {
			t.Errorf("%v are counted, %v", n, err)
		}
	}},
	{"O11c", "beyond loopback the operators' listener needs credentials, but for health and readiness", func(t *testing.T, _ *world) {
		said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--service-address", "127.0.0.1:0", "--operator-address", "0.0.0.0:0")
		if err == nil || !strings.Contains(said, "setting operator-address") || !strings.Contains(said, "insecure-operators") || !strings.Contains(said, "operator-tls-client-ca") {
			t.Errorf("%v: %s", err, said)
		}
		callers := filepath.Join(t.TempDir(), "callers.yaml")
		if err := os.WriteFile(callers, []byte("callers:\n- {name: usual, tokens: [usual-long-secret-1]}\n- {name: prometheus, tokens: [query-long-secret-1], may: [query]}\n"+
			"- {name: oncall, tokens: [operate-long-secret], may: [operate]}\n- {name: emitter, tokens: [emitter-long-secret], may: [emit]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, outside := exposedBroker(t, "--service-callers", callers)
		for token, want := range map[string][2]int{
			"": {401, 401}, "nobody-long-secret": {401, 401}, "usual-long-secret-1": {200, 403}, "query-long-secret-1": {200, 403}, "operate-long-secret": {200, 200}, "emitter-long-secret": {403, 403},
		} {
			var headers []string
			if token != "" {
				headers = []string{"Authorization", "Bearer " + token}
			}
			for path, status := range map[string]int{
				"/healthz": 200, "/readyz": 200, "/metrics": want[0], "/status": want[0], "/": want[0], "/debug/pprof/": want[1], "/debug/pprof/goroutine": want[1], "/debug/pprof/profile?seconds=1": want[1],
			} {
				if a := at(t, outside, path, headers...); a.status != status {
					t.Errorf("%s with the token %q was answered %d, want %d: %s", path, token, a.status, status, a.body)
				}
			}
		}
		for _, path := range []string{"/metrics", "/", "/debug/pprof/goroutine"} {
			if a := at(t, b.Operators, path); a.status != 200 {
				t.Errorf("%s was answered %d to a program of the same machine", path, a.status)
			}
		}
		if n, err := b.Metric("spanwire_http_rejected_requests_total", `reason="unauthenticated"`); err != nil || n != 12 {
			t.Errorf("%v are counted, %v", n, err)
		}
		_, outside = exposedBroker(t, "--insecure-operators")
		for path, status := range map[string]int{"/healthz": 200, "/metrics": 200, "/status": 200, "/debug/pprof/": 401, "/api/v1/services": 403} {
			if a := at(t, outside, path); a.status != status {
				t.Errorf("%s was answered %d where operators are insecure", path, a.status)
			}
		}
	}},
	{"O11d", "secrets come from files", func(t *testing.T, _ *world) {
		folder := t.TempDir()
		file := func(name, text string) string {
			path := filepath.Join(folder, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		b := bareBroker(t, "--service-tokens-file", file("tokens", "first-long-secret\r\nsecond-long-secret\n"), "--cluster-secret-file", file("secret", "third-long-secret\n"))
		for token, want := range map[string]int{"": 401, "first-long-secret": 200, "second-long-secret": 200, "third-long-secret": 401, "first-long-secret,second-long-secret": 401} {
			if a := at(t, b.Operators, "/api/v1/services", "Authorization", "Bearer "+token); a.status != want {
				t.Errorf("the token %q was answered %d", token, a.status)
			}
		}
		if strings.Contains(b.Log(), "process list") || strings.Contains(b.Log(), "long-secret") {
			t.Errorf("the log says %s", b.Log())
		}
		empty := file("empty", "\n")
		for _, test := range []struct{ want, flag, value string }{
			{"no such file", "service-tokens-file", filepath.Join(folder, "nothing")}, {"empty", "nats-token-file", empty}, {"empty", "cluster-secret-file", empty}, {"empty", "service-tokens-file", empty},
			{"more than one line", "cluster-secret-file", file("lines", "third-long-secret\nthird-long-secret\n")}, {"empty", "nats-url-file", empty},
		} {
			said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--"+test.flag, test.value)
			if err == nil || !strings.Contains(said, "setting "+test.flag+": ") || !strings.Contains(said, test.want) || strings.Contains(said, "long-secret") {
				t.Errorf("%+v: %v, %s", test, err, said)
			}
		}
		said, err := brokerSays("serve", "--http-address", "127.0.0.1:0", "--cluster-secret", "fourth-long-secret", "--cluster-secret-file", file("given", "third-long-secret"))
		if err == nil || !strings.Contains(said, "setting cluster-secret-file: cluster-secret is given too") || strings.Contains(said, "long-secret") {
			t.Errorf("both are given: %v, %s", err, said)
		}
	}},
}
