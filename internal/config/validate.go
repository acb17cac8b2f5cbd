// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spanwire/spanwire/internal/origin"
)

// Validate finds all that makes no sense, and says for each what to mend.
func (c *Config) Validate() error {
	return errors.Join(slices.Concat(c.Listen.faults(), c.Engine.faults(), c.Socket.faults(), c.Services.faults(), c.Cluster.faults(),
		c.Run.faults(), c.sizes())...)
}

// frameSpare is what a frame or an envelope holds besides the largest event.
const frameSpare = 64 << 10

// sizes finds limits that contradict each other: what a browser may send must fit into what carries
// it.
func (c *Config) sizes() (f faults) {
	f.atLeast("max-frame", c.Services.MaxFrame, c.Engine.MaxPayload+frameSpare)
	f.atLeast("max-envelope", c.Cluster.MaxEnvelope, c.Engine.MaxPayload+frameSpare)
	f.atLeast("max-unfinished", c.Socket.MaxUnfinished, c.Engine.MaxPayload)
	return f
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(setting, format string, args ...any) {
	*f = append(*f, fmt.Errorf("setting %s: %s", setting, fmt.Sprintf(format, args...)))
}

// each adds what errors.Join has put together, one by one.
func (f *faults) each(setting string, joined error) {
	for line := range strings.SplitSeq(joined.Error(), "\n") {
		f.add(setting, "%s", line)
	}
}

func (f *faults) address(setting, value string) {
	_, port, err := net.SplitHostPort(value)
	if _, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil {
		f.add(setting, "%q is no address; write host:port, or :port for all interfaces", value)
	}
}

func (f *faults) positive(setting string, d time.Duration) {
	if d <= 0 {
		f.add(setting, "%v is too short; it must be more than zero", d)
	}
}

func (f *faults) atLeast(setting string, value, least int) {
	if value < least {
		f.add(setting, "%d is too small; it must be at least %d", value, least)
	}
}

func (f *faults) wholeSeconds(setting string, d time.Duration) {
	if d < 0 || d%time.Second != 0 {
		f.add(setting, "%v is not a whole number of seconds", d)
	}
}

func (f *faults) oneOf(setting, value string, known ...string) {
	if !slices.Contains(known, value) {
		f.add(setting, "%q is not known; choose of %s", value, strings.Join(known, ", "))
	}
}

func (l *Listen) faults() (f faults) {
	f.address("http-address", l.HTTPAddress)
	f.address("service-address", l.ServiceAddress)
	if l.OperatorAddress != "" {
		f.address("operator-address", l.OperatorAddress)
	}
	if l.AdvertiseAddress != "" {
		f.address("advertise-address", l.AdvertiseAddress)
	}
	for i, token := range l.ServiceTokens {
		if len(token) < leastToken || strings.ContainsFunc(token, unicode.IsSpace) {
			f.add("service-tokens", "token %d can be guessed or mistyped; use at least %d characters without spaces", i+1, leastToken)
		}
	}
	f.tls("http", &l.HTTPTLS)
	f.tls("service", &l.ServiceTLS)
	f.tls("operator", &l.OperatorTLS)
	if l.ServiceTLS.Optional && l.ServiceTLS.ClientCA == "" {
		f.add("service-tls-client-optional", "no certificate is asked for; set service-tls-client-ca")
	}
	if !loopback(l.ServiceAddress) && !l.InsecureServices && l.ServiceTLS.Cert == "" && len(l.ServiceTokens) == 0 && l.ServiceCallers == "" {
		f.add("service-address", "%q can be reached from other machines, where anyone could attach as a handler; set service-tokens, "+
			"service-callers or service-tls-cert, or insecure-services if the network is trusted", l.ServiceAddress)
	}
	if l.OperatorAddress != "" && !l.OperatorsOnLoopback() && !l.InsecureOperator && l.OperatorTLS.ClientCA == "" && len(l.ServiceTokens) == 0 && l.ServiceCallers == "" {
		f.add("operator-address", "%q can be reached from other machines, where anyone could read metrics and status; set service-tokens, service-callers or "+
			"operator-tls-client-ca, or insecure-operators if the network is trusted", l.OperatorAddress)
	}
	if _, err := origin.ParseHosts(l.OperatorHosts); err != nil {
		f.each("operator-hosts", err)
	}
	f.positive("reload-interval", l.ReloadInterval)
	if _, err := origin.ParseHosts(l.AllowedHosts); err != nil {
		f.each("allowed-hosts", err)
	}
	if _, err := l.Proxies(); err != nil {
		f.add("trusted-proxies", "%v", err)
	}
	if l.ProxyProtocol && len(l.TrustedProxies) == 0 {
		f.add("proxy-protocol", "it is believed of trusted proxies alone; name them in trusted-proxies")
	}
	f.positive("header-timeout", l.HeaderTimeout)
	f.atLeast("max-header", l.MaxHeader, leastHeader)
	f.positive("upstream-connect-timeout", l.Upstream.ConnectTimeout)
	f.positive("upstream-body-timeout", l.Upstream.BodyTimeout)
	if l.Upstream.AnswerTimeout < 0 {
		f.add("upstream-answer-timeout", "%v is negative; 0 is no limit", l.Upstream.AnswerTimeout)
	}
	if l.Upstream.URL != "" {
		if u, err := url.Parse(l.Upstream.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			f.add("upstream", "%q is no URL of a web application; write http://host:port", l.Upstream.URL)
		} else if _, port, _ := net.SplitHostPort(l.HTTPAddress); port != "0" && u.Port() == port && loopback(u.Host) {
			f.add("upstream", "%q is the broker's own http-address, so a request would go round for ever; give the application another port", l.Upstream.URL)
		}
	}
	return f
}

func (f *faults) tls(listener string, t *TLS) {
	if (t.Cert == "") != (t.Key == "") {
		f.add(listener+"-tls-cert", "a certificate needs its key; set %s-tls-cert and %s-tls-key together", listener, listener)
	}
	if t.ClientCA != "" && t.Cert == "" {
		f.add(listener+"-tls-client-ca", "callers show certificates to a listener that has one; set %s-tls-cert and %s-tls-key", listener, listener)
	}
}

// OperatorsOnLoopback tells whether only programs on this machine reach the operators' listener.
func (l *Listen) OperatorsOnLoopback() bool { return loopback(l.OperatorAddress) }

// leastHeader is about what browsers send without cookies.
const leastHeader = 4 << 10

// Proxies are the networks of the setting trusted-proxies; a lone address is a network of one.
func (l *Listen) Proxies() (networks []netip.Prefix, err error) {
	for _, item := range l.TrustedProxies {
		p, err := netip.ParsePrefix(item)
		if a, addrErr := netip.ParseAddr(item); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a network; write 192.0.2.1 or 10.0.0.0/8", item)
		}
		networks = append(networks, p)
	}
	return networks, nil
}

// leastToken is the length of the shortest secret that is taken.
const leastToken = 8

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // reported as no address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// enginePath leaves the root to the web application, and what needs escapes in a URL to nobody.
var enginePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)

func (e *Engine) faults() (f faults) {
	if len(e.Paths) == 0 {
		f.add("path", "there must be at least one path, like /socket.io/")
	}
	for _, path := range e.Paths {
		if !enginePath.MatchString(path) {
			f.add("path", "%q must begin with a slash and a name, and should end with a slash, like /socket.io/", path)
		}
	}
	if len(e.Transports) == 0 {
		f.add("transports", "there must be at least one of polling, websocket")
	}
	for _, t := range e.Transports {
		f.oneOf("transports", t, "polling", "websocket")
	}
	f.positive("upgrade-timeout", e.UpgradeTimeout)
	f.positive("ping-interval", e.PingInterval)
	f.positive("ping-timeout", e.PingTimeout)
	f.positive("close-timeout", e.CloseTimeout)
	f.positive("body-timeout", e.BodyTimeout)
	f.positive("write-timeout", e.WriteTimeout)
	f.atLeast("max-payload", e.MaxPayload, 128)
	f.atLeast("max-packets-per-payload", e.MaxPacketsPerPayload, 1)
	f.atLeast("max-packets-per-answer", e.MaxPacketsPerAnswer, 1)
	f.atLeast("max-outbound", e.MaxOutbound, 1024)
	if e.MaxOutboundTotal != 0 {
		f.atLeast("max-outbound-total", e.MaxOutboundTotal, 1<<20)
	}
	if _, err := origin.ParseOrigins(e.AllowedOrigins); err != nil {
		f.each("allowed-origins", err)
	}
	f.atLeast("max-packet-rate", e.MaxPacketRate, 0)
	f.atLeast("max-sessions", e.MaxSessions, 0)
	f.atLeast("max-sessions-per-address", e.MaxSessionsPerAddr, 0)
	f.atLeast("compression-threshold", e.CompressionThreshold, 0)
	f.wholeSeconds("cors-max-age", e.CORSMaxAge)
	return append(f, e.Cookie.faults()...)
}

// sameSites are the values of cookie-same-site.
var sameSites = map[string]http.SameSite{
	"": 0, "lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode,
}

// SameSiteMode is the setting cookie-same-site as net/http counts it.
func (c *Cookie) SameSiteMode() http.SameSite { return sameSites[c.SameSite] }

// faults finds what would let a value out of its place in the header, and what browsers would throw
// away.
func (c *Cookie) faults() (f faults) {
	if c.Name == "" {
		return nil
	}
	try := func(setting, value, name, path, domain string) {
		cookie := http.Cookie{Name: name, Path: path, Domain: domain} //nolint:gosec // it is never sent: only its parts are checked
		if cookie.Valid() != nil {
			f.add(setting, "%q cannot stand in a cookie; use letters, digits and few signs, without spaces, line ends or semicolons", value)
		}
	}
	try("cookie-name", c.Name, c.Name, "", "")
	try("cookie-path", c.Path, "x", c.Path, "")
	try("cookie-domain", c.Domain, "x", "", c.Domain)
	if c.Path != "" && !strings.HasPrefix(c.Path, "/") {
		f.add("cookie-path", "%q does not begin with a slash", c.Path)
	}
	f.oneOf("cookie-same-site", c.SameSite, "", "lax", "strict", "none")
	if c.SameSite == "none" && !c.Secure {
		f.add("cookie-same-site", "browsers take none only with cookie-secure")
	}
	f.wholeSeconds("cookie-max-age", c.MaxAge)
	return f
}

// deepest nesting that is allowed: each level costs some stack.
const deepest = 10_000

func (s *Socket) faults() (f faults) {
	f.positive("connect-timeout", s.ConnectTimeout)
	f.atLeast("max-attachments", s.MaxAttachments, 0)
	f.atLeast("max-namespaces-per-session", s.MaxNamespaces, 1)
	if s.MaxJSONDepth < 1 || s.MaxJSONDepth > deepest {
		f.add("max-json-depth", "%d is not between 1 and %d", s.MaxJSONDepth, deepest)
	}
	f.atLeast("max-namespace-length", s.MaxNamespaceLength, 1)
	f.atLeast("max-event-name-length", s.MaxEventNameLength, 1)
	f.atLeast("max-event-rate", s.MaxEventRate, 0)
	f.positive("attachment-timeout", s.AttachmentTimeout)
	f.atLeast("connect-rate", s.ConnectRate, 1)
	f.atLeast("max-outstanding-acks", s.MaxOutstandingAcks, 1)
	if s.Recovery < 0 {
		f.add("recovery", "%v is negative; 0 turns it off", s.Recovery)
	}
	f.atLeast("recovery-max-packets", s.RecoveryPackets, 1)
	f.atLeast("recovery-max-bytes", s.RecoveryBytes, 1)
	f.atLeast("recovery-max-sessions", s.RecoverySessions, 1)
	return f
}

func (s *Services) faults() (f faults) {
	f.atLeast("socket-queue-events", s.QueueEvents, 1)
	f.atLeast("socket-queue-bytes", s.QueueBytes, 1)
	f.positive("connect-hold", s.ConnectHold)
	f.positive("hold-timeout", s.HoldTimeout)
	if s.ServiceRetention < 0 {
		f.add("service-retention", "%v is negative; 0 keeps absent services until they are retired", s.ServiceRetention)
	}
	f.atLeast("hold-sockets", s.HoldSockets, 1)
	f.atLeast("absent-service-bytes", s.AbsentBytes, 0)
	f.atLeast("rebalance-rate", s.RebalanceRate, 0)
	f.atLeast("rebalance-ratio", s.RebalanceRatio, 100)
	f.atLeast("max-redeliveries", s.MaxRedeliveries, 1)
	if s.DrainGrace < 0 {
		f.add("drain-grace", "%v is less than nothing", s.DrainGrace)
	}
	f.positive("handler-timeout", s.HandlerTimeout)
	f.atLeast("instance-window", s.InstanceWindow, 1)
	f.atLeast("max-instance-window", s.MaxWindow, s.InstanceWindow)
	f.atLeast("instance-window-bytes", s.WindowBytes, 1024)
	f.positive("ack-timeout", s.AckTimeout)
	f.positive("stall-timeout", s.StallTimeout)
	f.positive("register-timeout", s.RegisterTimeout)
	f.atLeast("max-services", s.MaxServices, 1)
	f.atLeast("max-dynamic-namespaces", s.MaxDynamic, 1)
	f.atLeast("max-ack-waits", s.MaxAckWaits, 1)
	f.positive("query-timeout", s.QueryTimeout)
	f.atLeast("max-query-results", s.MaxQueryResults, 1)
	f.atLeast("max-tails", s.MaxTails, 1)
	f.atLeast("tail-backlog", s.TailBacklog, 1)
	f.atLeast("max-call-body", s.MaxCallBody, 1024)
	f.positive("idempotency-window", s.IdempotencyWindow)
	f.atLeast("max-idempotency-keys", s.MaxIdempotencyKeys, 1)
	f.atLeast("max-idempotency-bytes", s.MaxIdempotencyBytes, 1)
	f.atLeast("max-socket-data", s.MaxSocketData, 1)
	f.atLeast("max-room-events", s.MaxRoomEvents, 1)
	f.atLeast("max-answer-bytes", s.MaxAnswers, 1024)
	f.atLeast("max-streams", s.MaxStreams, 1)
	if s.Keepalive < time.Second {
		f.add("service-keepalive", "%v is too short; it must be at least 1s", s.Keepalive)
	}
	return f
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (c *Cluster) faults() (f faults) {
	f.tls("cluster", &c.TLS)
	if (c.TLS.Cert == "") != (c.TLS.ClientCA == "") {
		f.add("cluster-tls-client-ca", "replicas show certificates to each other, so each needs to know whose to believe; set cluster-tls-cert, cluster-tls-key and "+
			"cluster-tls-client-ca together")
	}
	if !clusterName.MatchString(c.Name) {
		f.add("cluster", "%q must be 1 to 64 letters, digits, - and _", c.Name)
	}
	if c.NATSURL != "" && c.NATSListen != "" {
		f.add("nats-listen", "the broker embeds no NATS server when nats-url names one; set only one of the two")
	}
	if c.NATSListen != "" {
		f.address("nats-listen", c.NATSListen)
		if !loopback(c.NATSListen) && c.NATSToken == "" {
			f.add("nats-listen", "%q can be reached from other machines, where anyone could publish; set nats-token", c.NATSListen)
		}
	}
	f.positive("replica-heartbeat", c.ReplicaHeartbeat)
	if c.ReplicaTimeout < 2*c.ReplicaHeartbeat {
		f.add("replica-timeout", "%v must be at least twice replica-heartbeat (%v)", c.ReplicaTimeout, c.ReplicaHeartbeat)
	}
	f.atLeast("replica-backlog", c.MaxBacklog, 1)
	f.atLeast("nats-reconnect-buffer", c.ReconnectBuffer, 0)
	f.atLeast("forward-events", c.ForwardEvents, 1)
	f.atLeast("forward-bytes", c.ForwardBytes, 1)
	f.atLeast("max-gathers", c.MaxGathers, 1)
	return append(f, c.forwardFaults()...)
}

func (r *Run) faults() (f faults) {
	f.positive("drain-timeout", r.DrainTimeout)
	if r.DrainSpread < 0 {
		f.add("drain-spread", "%v is negative; 0 closes all sessions at once", r.DrainSpread)
	}
	f.oneOf("log-level", r.LogLevel, "debug", "info", "warn", "error")
	f.oneOf("log-format", r.LogFormat, "text", "json")
	return f
}
