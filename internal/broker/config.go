// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"log/slog"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/bridge"
	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/dispatch"
	"github.com/spanwire/spanwire/internal/edge"
	"github.com/spanwire/spanwire/internal/hub"
	"github.com/spanwire/spanwire/internal/idempotency"
	"github.com/spanwire/spanwire/internal/mesh"
	"github.com/spanwire/spanwire/internal/sessionproxy"
	"github.com/spanwire/spanwire/internal/trace"
)

// Config is every setting: the options of the packages, and those of the broker itself.
// DefaultConfig makes one, Load fills it from outside, Validate finds what makes no sense. Options
// that are no settings, such as the id of the replica, are set when the broker starts (options.go).
type Config struct {
	Listen       Listen
	Edge         edge.Options
	Journal      hub.JournalOptions
	Dispatch     dispatch.Options
	Bridge       bridge.Options
	API          bridge.HTTPOptions
	Idempotency  idempotency.Options
	Trace        trace.Options
	Mesh         mesh.Options
	SessionProxy sessionproxy.Options
	Cluster      Cluster
	Run          Process

	// Shown are the secrets that were given as flags, where other users of the machine can read
	// them.
	Shown []string
}

// Listen says where the broker can be reached.
type Listen struct {
	HTTPAddress      string
	ServiceAddress   string
	OperatorAddress  string
	InsecureServices bool
	InsecureOperator bool
	OperatorHosts    []string
	ServiceTokens    []string
	ServiceCallers   string
	HTTPTLS          TLS
	ServiceTLS       TLS
	OperatorTLS      TLS
	ReloadInterval   time.Duration
	AdvertiseAddress string
	Upstream         Upstream
	AllowedHosts     []string
	TrustedProxies   []string
	ProxyProtocol    bool
	HeaderTimeout    time.Duration
	MaxHeader        int
}

// Upstream is the web application behind the broker.
type Upstream struct {
	URL            string
	ConnectTimeout time.Duration
	BodyTimeout    time.Duration
	MinBodyRate    int
	AnswerTimeout  time.Duration
}

// TLS names the files of a listener's certificate.
type TLS struct {
	Cert     string
	Key      string
	ClientCA string
	Optional bool // callers may show no certificate
}

// Cluster is what ties replicas together.
type Cluster struct {
	NATS             nats.Options
	TLS              TLS
	Secret           string
	ForwardAddress   string
	ForwardAdvertise string
}

// Process is about the process itself.
type Process struct {
	DrainTimeout   time.Duration
	DrainSpread    time.Duration
	MemoryLimit    int
	LogLevel       string
	LogFormat      string
	Profiling      bool
	ExitWithParent bool
}

// Level is the log level as slog counts it.
func (o *Process) Level() slog.Level {
	var l slog.Level
	l.UnmarshalText([]byte(o.LogLevel)) //nolint:errcheck // Validate has checked the name
	return l
}

// DefaultConfig is the configuration in which no setting was given.
func DefaultConfig() *Config {
	c := &Config{Edge: edge.DefaultOptions(), Mesh: mesh.Default(), Cluster: Cluster{NATS: nats.Default()}}
	config.Preset(c.Settings())
	return c
}

// Settings are the settings of all packages, in the order of the documentation.
func (c *Config) Settings() []config.Setting {
	return slices.Concat(c.Listen.Settings(), c.Edge.Engine.Settings(), c.Edge.Settings(), c.Journal.Settings(), c.Dispatch.Settings(),
		c.Bridge.Settings(), c.Bridge.Commands.Settings(), c.API.Settings(), c.Idempotency.Settings(), c.Trace.Settings(), c.Cluster.NATS.Settings(), c.Mesh.Settings(),
		c.Cluster.Settings(), c.SessionProxy.Settings(), c.Run.Settings())
}

// Load reads the settings over those that c has, as config.Load does, and checks them.
func (c *Config) Load(args, environ []string) (rest []string, err error) {
	settings := c.Settings()
	if rest, c.Shown, err = config.Load(settings, args, environ); err != nil {
		return nil, err
	}
	return rest, c.check(settings)
}

// Validate finds all that makes no sense, and says for each what to change.
func (c *Config) Validate() error { return c.check(c.Settings()) }

func (c *Config) check(settings []config.Setting) error {
	f := config.Faults{config.Check(settings)}
	return append(f, c.sizes()...).Joined()
}

// frameSpare is what a frame or an envelope holds besides the largest event.
const frameSpare = 64 << 10

// sizes finds limits that contradict each other: what a browser may send must fit into what carries
// it.
func (c *Config) sizes() (f config.Faults) {
	for name, size := range map[string]int{"max-frame": c.Bridge.MaxFrame, "max-envelope": c.Cluster.NATS.MaxEnvelope} {
		if err := config.AtLeast(c.Edge.Engine.MaxPayload + frameSpare)(int64(size)); err != nil {
			f.Add(name, "%v", err)
		}
	}
	return f
}

// SettingsPage is the reference of all settings, as Markdown.
func SettingsPage() string { return config.Document(DefaultConfig().Settings()) }

// Usage lists the flags for a terminal.
func Usage() string { return config.Usage(DefaultConfig().Settings()) }
