// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/config"
)

func load(t *testing.T, args []string, environ ...string) (*Config, []string, error) {
	t.Helper()
	c := DefaultConfig()
	rest, err := c.Load(args, environ)
	return c, rest, err
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// The defaults are valid.
func TestDefault(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

// Every setting has a name of its own, is explained, and reads back its own default.
func TestConfig_Settings(t *testing.T) {
	names := make(map[string]bool)
	settings := DefaultConfig().Settings()
	for _, s := range settings {
		if names[s.Name] {
			t.Errorf("setting %s is there twice", s.Name)
		}
		names[s.Name] = true
		if !regexp.MustCompile(`^[a-z]+(-[a-z][a-z0-9]*)*$`).MatchString(s.Name) {
			t.Errorf("setting %q has an odd name", s.Name)
		}
		if !strings.HasSuffix(s.Doc, ".") || len(s.Doc) < 20 {
			t.Errorf("setting %s is not explained: %q", s.Name, s.Doc)
		}
		c := DefaultConfig()
		if _, err := c.Load([]string{s.Flag() + "=" + s.Value()}, nil); err != nil {
			t.Errorf("setting %s does not accept its own default %q: %v", s.Name, s.Value(), err)
		}
		for i, now := range c.Settings() {
			if now.Value() != settings[i].Value() {
				t.Errorf("its own default of %s made %s %q", s.Name, now.Name, now.Value())
			}
		}
	}
	if len(names) < 140 {
		t.Errorf("there are %d settings only", len(names))
	}
}

// withoutSetting are the fields of options that the broker sets when it starts (options.go).
var withoutSetting = map[string]bool{
	"engineio.Options.TrustedProxies": true, "engineio.Options.DrainSpread": true, "engineio.Options.DrainSettle": true, "engineio.Options.Replica": true,
	"edge.Options.Tap": true, "hub.JournalOptions.Retention": true,
	"dispatch.Options.Replica": true, "dispatch.Options.Connected": true, "dispatch.Options.Others": true, "dispatch.Options.Tap": true,
	"bridge.Options.Replica": true, "bridge.Options.Cluster": true, "bridge.Options.Version": true, "bridge.Options.PublicURL": true, "bridge.Options.Topology": true,
	"bridge.Options.Whereabouts": true, "bridge.Options.Callers": true, "bridge.Options.Calls": true, "bridge.Options.Board": true, "bridge.Options.Rejected": true,
	"bridge.Options.HandlerTimeout": true, "bridge.Options.ReplicaTimeout": true, "commands.Options.MaxDepth": true,
	"bridge.HTTPOptions.Host": true, "bridge.HTTPOptions.Loopback": true, "bridge.HTTPOptions.BodyTimeout": true,
	"idempotency.Options.Replica": true, "idempotency.Options.Patience": true, "idempotency.Options.Others": true,
	"mesh.Options.Replica": true, "mesh.Options.Cluster": true, "mesh.Options.GRPCAddress": true, "mesh.Options.HTTPAddress": true, "mesh.Options.ForwardAddress": true,
	"mesh.Options.MaxQueryResults": true, "mesh.Options.Calls": true,
	"sessionproxy.Options.Replica": true, "sessionproxy.Options.Secret": true, "sessionproxy.Options.Cluster": true, "sessionproxy.Options.Find": true,
	"sessionproxy.Options.Gone": true, "sessionproxy.Options.TLS": true, "sessionproxy.Options.Wake": true, "sessionproxy.Options.DrainSession": true,
	"sessionproxy.Options.WriteTimeout": true, "sessionproxy.Options.DrainSpread": true, "sessionproxy.Options.DrainSettle": true,
	"nats.Options.PingInterval": true, "nats.Options.ReconnectWait": true, "nats.Options.ServerTLS": true, "nats.Options.ClientTLS": true,
	"broker.TLS.Optional": true, // of service-address only
	"broker.Config.Shown": true,
}

// Every field of the options can be set by a setting, or is set by the broker.
func TestConfig_Fields(t *testing.T) {
	c := DefaultConfig()
	settings := c.Settings()
	used := make(map[string]bool)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			field, name := v.Field(i), v.Type().String()+"."+v.Type().Field(i).Name
			switch has := slices.ContainsFunc(settings, func(s config.Setting) bool { return s.Sets(field.Addr().Interface()) }); {
			case field.Kind() == reflect.Struct:
				walk(field)
			case withoutSetting[name]:
				used[name] = true
			case !has:
				t.Errorf("%s has no setting", name)
			}
		}
	}
	walk(reflect.ValueOf(c).Elem())
	for name := range withoutSetting {
		if !used[name] {
			t.Errorf("there is no field %s", name)
		}
	}
}

// A flag goes before the environment, the environment before the file, the file before the default.
func TestLoad_Precedence(t *testing.T) {
	name := file(t, "ping_interval: 1s\nping_timeout: 1s\nupgrade_timeout: 1s\nrequire_origin: true\nallowed_origins: [https://a.example, https://b.example]\n")
	c, rest, err := load(t, []string{"--config", name, "--ping-interval=3s", "left", "over"},
		"SPANWIRE_PING_INTERVAL=2s", "SPANWIRE_PING_TIMEOUT=2000", "HOME=/")
	if err != nil {
		t.Fatal(err)
	}
	if got := []time.Duration{c.Edge.Engine.PingInterval, c.Edge.Engine.PingTimeout, c.Edge.Engine.UpgradeTimeout, c.Edge.ConnectTimeout}; !reflect.DeepEqual(got,
		[]time.Duration{3 * time.Second, 2 * time.Second, time.Second, 45 * time.Second}) {
		t.Errorf("flag, environment, file, default: %v", got)
	}
	if !c.Edge.Engine.RequireOrigin || len(c.Edge.Engine.Origins) != 2 || c.Edge.Engine.Origins[1] != "https://b.example" {
		t.Errorf("from the file: %+v", c.Edge.Engine)
	}
	if !reflect.DeepEqual(rest, []string{"left", "over"}) {
		t.Errorf("left over: %q", rest)
	}
	if c, _, err := load(t, nil, "SPANWIRE_CONFIG="+name); err != nil || c.Edge.Engine.PingInterval != time.Second {
		t.Errorf("the file that the environment names: %v, %v", c.Edge.Engine.PingInterval, err)
	}
}

// Values are read in every form that the documentation promises.
func TestLoad_Values(t *testing.T) {
	for _, tt := range []struct {
		flag string
		got  func(*Config) any
		want any
	}{
		{"--ping-interval=25000", func(c *Config) any { return c.Edge.Engine.PingInterval }, 25 * time.Second},
		{"--ping-interval=1m30s", func(c *Config) any { return c.Edge.Engine.PingInterval }, 90 * time.Second},
		{"--max-payload=64KiB", func(c *Config) any { return c.Edge.Engine.MaxPayload }, int64(64 << 10)},
		{"--max-payload=2MB", func(c *Config) any { return c.Edge.Engine.MaxPayload }, int64(2_000_000)},
		{"--max-payload=3 MiB", func(c *Config) any { return c.Edge.Engine.MaxPayload }, int64(3 << 20)},
		{"--max-payload=500B", func(c *Config) any { return c.Edge.Engine.MaxPayload }, int64(500)},
		{"--require-origin", func(c *Config) any { return c.Edge.Engine.RequireOrigin }, true},
		{"--serve-client=false", func(c *Config) any { return c.Edge.ServeClient }, false},
		{"--transports=websocket", func(c *Config) any { return fmt.Sprint(c.Edge.Engine.Transports) }, "[websocket]"},
		{"--operator-address=", func(c *Config) any { return c.Listen.OperatorAddress }, ""},
	} {
		c, _, err := load(t, []string{tt.flag})
		if err != nil || tt.got(c) != tt.want {
			t.Errorf("%s: %v, %v", tt.flag, tt.got(c), err)
		}
	}
}

// Proxies are networks, and a lone address is a network of one.
func TestListen_Proxies(t *testing.T) {
	c, _, err := load(t, []string{"--trusted-proxies=10.0.0.0/8, 192.0.2.1,fd00::/8,::1"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Listen.Proxies(); err != nil || fmt.Sprint(got) != "[10.0.0.0/8 192.0.2.1/32 fd00::/8 ::1/128]" {
		t.Errorf("got %v %v", got, err)
	}
}

// What makes no sense is rejected with what to change, all of it at once.
func TestLoad_Err(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    []string
		environ []string
		want    []string
	}{
		{"unknown flag", []string{"--ping-intervall=3"}, nil, []string{"--ping-intervall is not known", "did you mean ping-interval?"}},
		{"nothing like it", []string{"--zzzzzzzzz"}, nil, []string{"broker settings"}},
		{"unknown variable", nil, []string{"SPANWIRE_PING_INTERVALL=3", "SPANWIRE_MAXPAYLOAD=1"},
			[]string{"SPANWIRE_PING_INTERVALL is not known; did you mean SPANWIRE_PING_INTERVAL?", "did you mean SPANWIRE_MAX_PAYLOAD?"}},
		{"unknown key", []string{"--config", file(t, "ping_intervals: 3\nmax-payload: 2\n")}, nil,
			[]string{"key ping_intervals is not known; did you mean ping_interval?", "did you mean max_payload?"}},
		{"nested key", []string{"--config", file(t, "path:\n  is: no\n")}, nil, []string{"setting path: the file's keys are flat"}},
		{"no YAML", []string{"--config", file(t, "\t- {")}, nil, []string{"configuration file"}},
		{"no file", []string{"--config", "/nowhere/broker.yaml"}, nil, []string{"configuration file", "no such file"}},
		{"no duration", nil, []string{"SPANWIRE_PING_INTERVAL=soon"}, []string{`"soon" is no duration; write milliseconds (25000)`, "from SPANWIRE_PING_INTERVAL"}},
		{"no size", []string{"--max-payload=big"}, nil, []string{`"big" is no size`, "from --max-payload"}},
		{"negative size", []string{"--max-payload=-1"}, nil, []string{`"-1" is no size`}},
		{"no number", []string{"--config", file(t, "max_attachments: ten")}, nil, []string{`"ten" is no whole number`}},
		{"no switch", nil, []string{"SPANWIRE_PROFILING=perhaps"}, []string{`"perhaps" is neither true nor false`}},
		{"several", []string{"--ping-interval=0", "--path=x", "--log-level=loud"}, nil,
			[]string{"setting ping-interval:", "setting path:", `setting log-level: "loud" is not known; choose one of debug, info, warn, error`}},
		{"no path", []string{"--path="}, nil, []string{"at least one path"}},
		{"odd paths", []string{"--path=/,/a b/,/x?y/,//a/"}, nil,
			[]string{`setting path: "/" must`, `setting path: "/a b/" must`, `setting path: "/x?y/" must`, `setting path: "//a/" must`}},
		{"odd proxies", []string{"--trusted-proxies=10.0.0.0/8,localhost"}, nil, []string{`setting trusted-proxies: "localhost" is neither`}},
		{"protocol of no proxy", []string{"--proxy-protocol"}, nil, []string{"setting proxy-protocol:", "name them in trusted-proxies"}},
		{"mapped proxy", []string{"--trusted-proxies=::ffff:10.0.0.1"}, nil, []string{"setting trusted-proxies:"}},
		{"header limits", []string{"--header-timeout=0", "--max-header=1KiB"}, nil, []string{"setting header-timeout:", "setting max-header:"}},
		{"negative limits", []string{"--max-packet-rate=-1", "--max-sessions=-1", "--max-sessions-per-address=-1", "--cors-max-age=1500"}, nil,
			[]string{"setting max-packet-rate:", "setting max-sessions:", "setting max-sessions-per-address:", "setting cors-max-age: 1.5s is not a whole"}},
		{"line ends in the cookie", []string{"--cookie-name=io\r\nX", "--cookie-path=/\r\nX", "--cookie-domain=a\nb", "--cookie-max-age=1"}, nil,
			[]string{"setting cookie-name:", "setting cookie-path:", "setting cookie-domain:", "setting cookie-max-age:"}},
		{"odd cookie", []string{"--cookie-name=io", "--cookie-path=x", "--cookie-same-site=perhaps"}, nil,
			[]string{`setting cookie-path: "x" does not begin`, `setting cookie-same-site: "perhaps" is not known`}},
		{"cookie that browsers drop", []string{"--cookie-name=io", "--cookie-same-site=none"}, nil, []string{"only with cookie-secure"}},
		{"open services", []string{"--service-address=:50051"}, nil, []string{"set service-tokens, service-callers or service-tls-cert, or insecure-services"}},
		{"weak token", []string{"--service-tokens=secret"}, nil, []string{"can be guessed"}},
		{"half a key pair", []string{"--service-tls-cert=x.pem"}, nil, []string{"set service-tls-cert and service-tls-key together"}},
		{"odd addresses", []string{"--http-address=5000", "--service-address=x:y", "--operator-address=z", "--advertise-address=q"}, nil,
			[]string{"setting http-address:", "setting service-address:", "setting operator-address:", "setting advertise-address:"}},
		{"odd upstream", []string{"--upstream=localhost:8000"}, nil, []string{"write http://host:port"}},
		{"round", []string{"--upstream=http://localhost:5000"}, nil, []string{"would loop"}},
		{"odd origin", []string{"--allowed-origins=example.com"}, nil, []string{"is no origin"}},
		{"no transports", []string{"--transports="}, nil, []string{"at least one of polling, websocket"}},
		{"odd transport", []string{"--transports=pigeon"}, nil, []string{`"pigeon" is not known`}},
		{"two NATS", []string{"--nats-url=nats://x:4222", "--nats-listen=127.0.0.1:4222"}, nil, []string{"set only one of the two"}},
		{"open NATS", []string{"--nats-listen=:4222"}, nil, []string{"set nats-token"}},
		{"odd cluster", []string{"--cluster=a b"}, nil, []string{"setting cluster:"}},
		{"hasty replicas", []string{"--replica-timeout=1s"}, nil, []string{"at least twice replica-heartbeat"}},
		{"frame below payload", []string{"--max-payload=100MB"}, nil, []string{"setting max-frame:", "setting max-envelope:", "setting max-unfinished:"}},
		{"long spread", []string{"--drain-spread=-1s"}, nil, []string{"setting drain-spread:"}},
		{"deep JSON", []string{"--max-json-depth=99999"}, nil, []string{"setting max-json-depth:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.args, tt.environ...)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
		})
	}
}

// Services may listen beyond loopback when something protects them, or when it is asked for by
// name.
func TestLoad_Services(t *testing.T) {
	for _, args := range [][]string{
		{"--service-address=:50051", "--insecure-services"},
		{"--service-address=:50051", "--service-tokens=longenough"},
		{"--service-address=[::1]:50051"},
		{"--service-address=localhost:50051"},
	} {
		if _, _, err := load(t, args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// The variables of the SDKs are no mistakes.
func TestLoad_SDKVariables(t *testing.T) {
	if _, _, err := load(t, nil, "SPANWIRE_ADDRESS=x", "SPANWIRE_APP_ADDRESS=x", "SPANWIRE_TLS=true", "SPANWIRE_TOKEN=x", "SPANWIRE_RETIRE=true"); err != nil {
		t.Error(err)
	}
}

// Asking for help is not a mistake.
func TestLoad_Help(t *testing.T) {
	if _, _, err := load(t, []string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

// Every setting is in the reference and in the usage.
func TestDocument(t *testing.T) {
	document, usage := SettingsPage(), Usage()
	for _, s := range DefaultConfig().Settings() {
		if !strings.Contains(document, "| `"+s.Name+"` |") || !strings.Contains(usage, "--"+s.Name+" ") {
			t.Errorf("%s is missing", s.Name)
		}
	}
}
