// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/certs/certstest"
	"github.com/spanwire/spanwire/test/process"
)

// site is where one proxy runs in a test.
type site struct {
	dir                    string // its own, for the files of the configuration
	broker                 string // host:port of http-address
	plain, secure          string // ports
	cert, key, ca, certKey string // files; certKey has both
}

// proxy is one program and its configuration.
type proxy struct {
	name    string
	program string
	files   []string // of deploy/proxy
	replace func(s *site) []string
	// configuration around the first file; empty when the file stands alone
	wrap    func(s *site) string
	command func(s *site) []string
}

var proxies = []proxy{
	{
		name: "nginx", program: "nginx", files: []string{"nginx.conf"},
		replace: func(s *site) []string {
			return []string{
				"listen 80;", "listen 127.0.0.1:" + s.plain + ";", "listen 443 ssl;", "listen 127.0.0.1:" + s.secure + " ssl;",
				"/etc/ssl/app.example.com.pem", s.cert, "/etc/ssl/app.example.com.key", s.key,
			}
		},
		wrap: func(s *site) string {
			temp := ""
			for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				temp += kind + "_temp_path " + s.dir + "/" + kind + ";\n"
			}
			return "user root;\npid " + s.dir + "/pid;\ndaemon off;\nevents {}\nhttp {\naccess_log off;\n" + temp + "include " + s.dir + "/nginx.conf;\n}\n"
		},
		command: func(s *site) []string { return []string{"nginx", "-e", "stderr", "-p", s.dir, "-c", s.dir + "/wrap"} },
	},
	{
		name: "Caddy", program: "caddy", files: []string{"Caddyfile"},
		replace: func(s *site) []string {
			// Caddy makes certificates itself
			s.ca = s.dir + "/caddy/pki/authorities/local/root.crt"
			return []string{"app.example.com {", "http://localhost:" + s.plain + ", https://localhost:" + s.secure + " {"}
		},
		wrap: func(s *site) string {
			return "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\nimport " + s.dir + "/Caddyfile\n"
		},
		command: func(s *site) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", s.dir + "/wrap"}
		},
	},
	{
		name: "HAProxy", program: "haproxy", files: []string{"haproxy.cfg"},
		replace: func(s *site) []string {
			return []string{
				"bind :80\n", "bind 127.0.0.1:" + s.plain + "\n", "bind :443 ssl", "bind 127.0.0.1:" + s.secure + " ssl",
				"/etc/haproxy/app.example.com.pem", s.certKey,
			}
		},
		command: func(s *site) []string { return []string{"haproxy", "-db", "-f", s.dir + "/haproxy.cfg"} },
	},
	{
		name: "Apache", program: "apache2", files: []string{"apache.conf", "apache-proxy.conf"},
		replace: func(s *site) []string {
			return []string{
				"*:80>", "127.0.0.1:" + s.plain + ">", "*:443>", "127.0.0.1:" + s.secure + ">",
				"/etc/ssl/app.example.com.pem", s.cert, "/etc/ssl/app.example.com.key", s.key,
				"/etc/apache2/spanwire-proxy.conf", s.dir + "/apache-proxy.conf",
			}
		},
		wrap: func(s *site) string {
			text := "ServerName localhost\nErrorLog /dev/stderr\nPidFile " + s.dir + "/pid\nDefaultRuntimeDir " + s.dir + "\nUser nobody\nGroup nogroup\n" +
				"Listen 127.0.0.1:" + s.plain + "\nListen 127.0.0.1:" + s.secure + "\n"
			for _, module := range []string{"mpm_event", "authz_core", "proxy", "proxy_http", "headers", "ssl", "socache_shmcb"} {
				text += "LoadModule " + module + "_module /usr/lib/apache2/modules/mod_" + module + ".so\n"
			}
			return text + "Include " + s.dir + "/apache.conf\n"
		},
		command: func(s *site) []string {
			return []string{"apache2", "-D", "FOREGROUND", "-d", s.dir, "-f", s.dir + "/wrap"}
		},
	},
}

// Each configuration of deploy/proxy serves a page of the proxy's own origin by polling, WebSocket
// and upgrade, with and without TLS, on a port that is no default; handlers get the client's
// address and the origin's scheme. A page of another port is refused.
func TestO20_Proxies(t *testing.T) {
	for _, p := range proxies {
		t.Run(p.name, func(t *testing.T) {
			s := p.start(t)
			for _, c := range []struct{ scheme, port string }{{"http", s.plain}, {"https", s.secure}} {
				t.Run(c.scheme, func(t *testing.T) {
					url := c.scheme + "://localhost:" + c.port
					for way, got := range connect(t, s, url, url) {
						if got.Error != "" || !got.Whole || got.Transport != map[bool]string{true: "polling", false: "websocket"}[way == "polling"] {
							t.Errorf("%s: got %+v", way, got)
						}
						if got.Secure != (c.scheme == "https") || got.Host != "localhost:"+c.port || got.CrossDomain {
							t.Errorf("%s: the handler got %+v", way, got)
						}
					}
					for way, got := range connect(t, s, url, c.scheme+"://localhost") {
						if got.Error == "" {
							t.Errorf("%s: a page of another port connected: %+v", way, got)
						}
					}
				})
			}
		})
	}
}

// Every file of deploy/proxy is run by a test.
func TestO20_Files(t *testing.T) {
	known := map[string]bool{}
	for _, p := range proxies {
		for _, name := range p.files {
			known[name] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(built.repository, "deploy/proxy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("no test runs deploy/proxy/%s", e.Name())
		}
	}
}

// start runs a broker with a handler, and the proxy in front of it.
func (p *proxy) start(t *testing.T) *site {
	t.Helper()
	if _, err := exec.LookPath(p.program); err != nil {
		t.Fatalf("%s is not installed: make proxies installs it (%v)", p.program, err)
	}
	broker, err := process.StartBroker(built.broker, "broker", "--trusted-proxies", "127.0.0.1,::1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Kill)
	handler, err := process.Start("handler", "", []string{"SPANWIRE_ADDRESS=" + broker.Services}, built.handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(handler.Kill)
	if err := handler.WaitFor("attached", limit); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, broker.HTTP)
	p.configure(t, s)
	run, err := process.Start(p.name, s.dir, []string{"HOME=" + s.dir, "XDG_DATA_HOME=" + s.dir, "XDG_CONFIG_HOME=" + s.dir}, p.command(s)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		run.Stop(limit)
		if t.Failed() {
			t.Logf("%s:\n%s\nbroker:\n%s", p.name, run.Log(), broker.Log())
		}
	})
	for _, port := range []string{s.plain, s.secure} {
		if err := run.WaitListening("localhost:"+port, limit); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func newSite(t *testing.T, broker string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), broker: broker}
	for _, port := range []*string{&s.plain, &s.secure} {
		address, err := process.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if _, *port, err = net.SplitHostPort(address); err != nil {
			t.Fatal(err)
		}
	}
	s.cert, s.key, s.ca = certstest.New(t).Write(s.dir, "localhost")
	s.certKey = filepath.Join(s.dir, "both.pem")
	var both []byte
	for _, name := range []string{s.cert, s.key} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	write(t, s.certKey, string(both))
	return s
}

// configure writes the files as they stand in deploy/proxy, with the site's ports and certificates
// instead of the documented ones.
func (p *proxy) configure(t *testing.T, s *site) {
	t.Helper()
	pairs := append(p.replace(s), "127.0.0.1:5000", s.broker)
	for _, name := range p.files {
		text, err := os.ReadFile(filepath.Join(built.repository, "deploy/proxy", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(s.dir, name), strings.NewReplacer(pairs...).Replace(string(text)))
	}
	if p.wrap != nil {
		write(t, filepath.Join(s.dir, "wrap"), p.wrap(s))
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// outcome is what client.js prints for one way to connect.
type outcome struct {
	Way, Error, Transport, Host, Address string
	Whole, Secure                        bool
	CrossDomain                          bool `json:"cross_domain"`
}

// connect runs the published client as a page of the origin, and gives the outcome of each way.
func connect(t *testing.T, s *site, url, origin string) map[string]outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "client.js")
	cmd.Env = append(os.Environ(), "URL="+url, "ORIGIN="+origin, "CA="+s.ca)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]outcome{}
	for line := range strings.Lines(string(out)) {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(fmt.Errorf("%q: %w", line, err))
		}
		all[o.Way] = o
	}
	if len(all) != 3 {
		t.Fatalf("the client printed %s", out)
	}
	return all
}
