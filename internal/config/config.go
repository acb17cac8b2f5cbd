// SPDX-License-Identifier: Apache-2.0

// Package config holds every knob of the broker: what it means, its default, and how it is set. It
// is the only reader of flags, of the environment and of the configuration file. internal/broker
// hands the values on to the rooms that obey them.
package config

import (
	"log/slog"
	"time"
)

// Config is every setting. Default makes one, Load fills it from outside, Validate finds what makes
// no sense. What a field means is said once, in the table of settings (table.go), from which its
// flag, its variable, its key and its documentation are made.
type Config struct {
	Listen   Listen
	Engine   Engine
	Socket   Socket
	Services Services
	Cluster  Cluster
	Run      Run

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
	TokensFile       string
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

// Engine is what browsers meet at the Engine.IO level.
type Engine struct {
	Paths                []string
	Transports           []string
	AllowUpgrades        bool
	AllowEIO3            bool
	AllowJSONP           bool
	UpgradeTimeout       time.Duration
	PingInterval         time.Duration
	PingTimeout          time.Duration
	MaxPayload           int
	MaxPacketsPerPayload int
	MaxPacketsPerAnswer  int
	PacketLimitedAgents  []string
	ExplainTooLarge      bool
	MaxPacketRate        int
	MaxOutbound          int
	MaxOutboundTotal     int
	AllowedOrigins       []string
	RequireOrigin        bool
	CORSMaxAge           time.Duration
	CloseTimeout         time.Duration
	BodyTimeout          time.Duration
	WriteTimeout         time.Duration
	PollingCompression   bool
	WebSocketCompression bool
	CompressionThreshold int
	MaxSessions          int
	MaxSessionsPerAddr   int
	Cookie               Cookie
}

// Cookie is the cookie with the session's id.
type Cookie struct {
	Name     string
	Path     string
	Domain   string
	MaxAge   time.Duration
	Secure   bool
	SameSite string
	HTTPOnly bool
}

// Socket is what browsers meet at the Socket.IO level.
type Socket struct {
	ConnectTimeout     time.Duration
	MaxAttachments     int
	MaxNamespaces      int
	MaxJSONDepth       int
	MaxNamespaceLength int
	MaxEventNameLength int
	MaxEventRate       int
	AttachmentTimeout  time.Duration
	ConnectRate        int
	MaxUnfinished      int
	MaxOutstandingAcks int
	Recovery           time.Duration
	RecoveryPackets    int
	RecoveryBytes      int
	RecoverySessions   int
	ServeClient        bool
}

// Services is what handlers meet.
type Services struct {
	QueueEvents         int
	QueueBytes          int
	ConnectHold         time.Duration
	HoldTimeout         time.Duration
	HoldSockets         int
	AbsentBytes         int
	RebalanceRate       int
	RebalanceRatio      int
	ServiceRetention    time.Duration
	RetainLastService   bool
	MaxRedeliveries     int
	DrainGrace          time.Duration
	HandlerTimeout      time.Duration
	InstanceWindow      int
	MaxWindow           int
	WindowBytes         int
	AckTimeout          time.Duration
	StallTimeout        time.Duration
	RegisterTimeout     time.Duration
	MaxFrame            int
	MaxServices         int
	MaxDynamic          int
	MaxAckWaits         int
	QueryTimeout        time.Duration
	MaxQueryResults     int
	MaxSocketData       int
	MaxRoomEvents       int
	MaxAnswers          int
	MaxTails            int
	TailBacklog         int
	MaxCallBody         int
	IdempotencyWindow   time.Duration
	Keepalive           time.Duration
	MaxIdempotencyKeys  int
	MaxIdempotencyBytes int
	MaxStreams          int
	AllowSocketIDRooms  bool
}

// Cluster is what ties replicas together.
type Cluster struct {
	Name             string
	NATSURL          string
	NATSURLFile      string
	NATSListen       string
	NATSToken        string
	NATSTokenFile    string
	ReplicaHeartbeat time.Duration
	ReplicaTimeout   time.Duration
	MaxEnvelope      int
	MaxBacklog       int
	ReconnectBuffer  int
	ForwardEvents    int
	ForwardBytes     int
	MaxGathers       int
	ForwardAddress   string
	ForwardAdvertise string
	Secret           string
	SecretFile       string
	MaxForwards      int
	TLS              TLS
}

// Run is about the process itself.
type Run struct {
	DrainTimeout   time.Duration
	DrainSpread    time.Duration
	MemoryLimit    int
	LogLevel       string
	LogFormat      string
	Profiling      bool
	ExitWithParent bool
}

// Default is the configuration of a broker that was told nothing.
func Default() *Config {
	return &Config{
		Listen: Listen{
			HTTPAddress:     ":5000",
			ServiceAddress:  "127.0.0.1:50051",
			OperatorAddress: "127.0.0.1:5001",
			HeaderTimeout:   5 * time.Second,
			ReloadInterval:  time.Second,
			MaxHeader:       64 << 10,
			Upstream: Upstream{
				ConnectTimeout: 5 * time.Second,
				BodyTimeout:    30 * time.Second,
				MinBodyRate:    500,
				AnswerTimeout:  time.Minute,
			},
		},
		Engine: defaultEngine(),
		Socket: Socket{
			ConnectTimeout:     45 * time.Second,
			MaxAttachments:     10,
			MaxNamespaces:      64,
			MaxJSONDepth:       512,
			MaxNamespaceLength: 255,
			MaxEventNameLength: 1024,
			AttachmentTimeout:  10 * time.Second,
			ConnectRate:        50,
			MaxUnfinished:      64 << 20,
			MaxOutstandingAcks: 1024,
			RecoveryPackets:    16384,
			RecoveryBytes:      32 << 20,
			RecoverySessions:   100_000,
			ServeClient:        true,
		},
		Services: defaultServices(),
		Cluster: Cluster{
			Name:             "spanwire",
			ReplicaHeartbeat: 2 * time.Second,
			ReplicaTimeout:   10 * time.Second,
			MaxEnvelope:      8 << 20,
			MaxBacklog:       16384,
			ReconnectBuffer:  8 << 20,
			ForwardEvents:    65536,
			ForwardBytes:     64 << 20,
			MaxGathers:       4096,
			ForwardAddress:   "127.0.0.1:0",
			MaxForwards:      10_000,
		},
		Run: Run{
			DrainTimeout: 25 * time.Second,
			DrainSpread:  10 * time.Second,
			LogLevel:     "info",
			LogFormat:    "text",
			Profiling:    true,
		},
	}
}

func defaultEngine() Engine {
	return Engine{
		Paths:                []string{"/socket.io/"},
		Transports:           []string{"polling", "websocket"},
		AllowUpgrades:        true,
		UpgradeTimeout:       10 * time.Second,
		PingInterval:         25 * time.Second,
		PingTimeout:          20 * time.Second,
		MaxPayload:           1_000_000,
		MaxPacketsPerPayload: 16_384,
		MaxPacketsPerAnswer:  16,
		PacketLimitedAgents:  []string{"python-requests", "aiohttp"},
		MaxOutbound:          128 << 20,
		CloseTimeout:         30 * time.Second,
		BodyTimeout:          30 * time.Second,
		WriteTimeout:         20 * time.Second,
		PollingCompression:   true,
		CompressionThreshold: 1024,
		Cookie:               Cookie{Path: "/", SameSite: "lax", HTTPOnly: true},
	}
}

func defaultServices() Services {
	return Services{
		QueueEvents:         128,
		QueueBytes:          1 << 20,
		ConnectHold:         20 * time.Second,
		HoldTimeout:         5 * time.Minute,
		HoldSockets:         10_000,
		AbsentBytes:         64 << 20,
		RebalanceRate:       10,
		RebalanceRatio:      125,
		MaxRedeliveries:     5,
		DrainGrace:          250 * time.Millisecond,
		HandlerTimeout:      30 * time.Second,
		InstanceWindow:      1024,
		MaxWindow:           16384,
		WindowBytes:         32 << 20,
		AckTimeout:          10 * time.Second,
		StallTimeout:        10 * time.Second,
		RegisterTimeout:     10 * time.Second,
		MaxFrame:            4 << 20,
		MaxServices:         1024,
		Keepalive:           5 * time.Second,
		MaxDynamic:          10_000,
		MaxAckWaits:         1024,
		QueryTimeout:        5 * time.Second,
		MaxQueryResults:     10_000,
		MaxTails:            16,
		TailBacklog:         1024,
		MaxCallBody:         4 << 20,
		IdempotencyWindow:   5 * time.Minute,
		MaxIdempotencyKeys:  10_000,
		MaxIdempotencyBytes: 64 << 20,
		MaxSocketData:       64 << 10,
		MaxRoomEvents:       4096,
		MaxAnswers:          16 << 20,
		MaxStreams:          100,
	}
}

// Level is the log level as slog counts it.
func (r *Run) Level() slog.Level {
	var l slog.Level
	l.UnmarshalText([]byte(r.LogLevel)) //nolint:errcheck // Validate has checked the name
	return l
}
