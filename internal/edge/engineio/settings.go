// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/origin"
	"github.com/spanwire/spanwire/internal/sio"
)

// Settings declares the settings of the options for broker.Config, but for TrustedProxies,
// DrainSpread, DrainSettle and Replica, which the server's owner sets.
func (o *Options) Settings() []config.Setting {
	return slices.Concat(config.Group(config.Transports,
		config.List("path", &o.Paths, []string{"/socket.io/"},
			"Paths of the Engine.IO endpoint, each exactly as written; clients name theirs in their option "+
				"`path`, and add a slash to the end unless configured otherwise.", validPaths),
		config.List("transports", &o.Transports, []Transport{Polling, WebSocket},
			"Transports that are offered: "+strings.Join(transportNames(), ", ")+".", validTransports),
		config.Toggle("allow-upgrades", &o.AllowUpgrades, true,
			"Lets a polling session become a WebSocket session."),
		config.Toggle("allow-eio3", &o.AllowEIO3, false,
			"Also accepts clients that speak revision 3 of Engine.IO, as those of Socket.IO 1 and 2 do, on the "+
				"same port and path."),
		config.Toggle("allow-jsonp", &o.AllowJSONP, false,
			"Also accepts clients that poll by JSONP. Any page can load scripts from any server, with the user's "+
				"cookies and without an Origin that could be checked: leave it off unless browsers without CORS need "+
				"it."),
		config.Duration("upgrade-timeout", &o.UpgradeTimeout, 10*time.Second,
			"Bounds the upgrade from polling to WebSocket.", config.Positive),
		config.Duration("ping-interval", &o.PingInterval, 25*time.Second,
			"Time from one pong to the next ping.", config.Positive),
		config.Duration("ping-timeout", &o.PingTimeout, 20*time.Second,
			"Time that a browser has to answer a ping, before its session closes with `ping timeout`.", config.Positive),
		config.Size("max-payload", &o.MaxPayload, 1_000_000,
			"Largest polling body and WebSocket message that a browser may send. A larger one closes its session "+
				"with `payload too large`.", config.AtLeast(128)),
		config.Toggle("explain-too-large", &o.ExplainTooLarge, false,
			"Names the limit in the body of an answer with 413 and in the text of a close with 1009. Both are "+
				"empty otherwise, as those of the reference server; the log names the limit always."),
		config.Number("max-packets-per-payload", &o.MaxPacketsPerPayload, 16_384,
			"Most packets in one polling body.", config.AtLeast(1)),
		config.Number("max-packets-per-answer", &o.MaxPacketsPerAnswer, 16,
			"Most packets in one polling answer to a client of packet-limited-agents; the rest waits for its "+
				"next request. All other clients get everything that waits, up to max-payload bytes.", config.AtLeast(1)),
		config.List("packet-limited-agents", &o.PacketLimitedAgents, []string{"python-requests", "aiohttp"},
			"Words in the User-Agent of clients that read at most max-packets-per-answer packets from one "+
				"polling answer and close the session over more, in any case; * stands for all clients. "+
				"python-socketio is such a client: it is also recognized by its cache buster, the query key `t`, "+
				"unless this list is empty."),
	), o.limits(), o.Cookie.settings())
}

// limits are the settings of what browsers may take and send.
func (o *Options) limits() []config.Setting {
	return config.Group(config.Transports,
		config.Number("max-packet-rate", &o.MaxPacketRate, 0,
			"Most packets per second that one session may send; twice as many may come at once, and each "+
				"attachment counts as one. A session that passes it is closed with `too many packets`. 0 is no limit.", config.AtLeast(0)),
		config.Number("max-sessions", &o.MaxSessions, 0,
			"Most sessions of this replica. Beyond it new ones are answered with 503, to come again later. 0 is "+
				"no limit.", config.AtLeast(0)),
		config.Number("max-sessions-per-address", &o.MaxSessionsPerAddress, 0,
			"Most sessions of one client address on this replica; with IPv6 a network of 64 bits counts as one "+
				"address. Many users can share one address, and behind a proxy all do unless trusted-proxies names "+
				"it. Beyond it new ones are answered with 503. 0 is no limit.", config.AtLeast(0)),
		config.Size("max-outbound", &o.MaxOutbound, 128<<20,
			"Most bytes that wait for one browser. A session for which more would wait is closed with `slow "+
				"consumer`, and the emit counts as dropped for it. What handlers emit while a connect is pending has "+
				"the same bound, apart from it.", config.AtLeast(1024)),
		config.Size("max-outbound-total", &o.MaxOutboundTotal, 0,
			"Most bytes that wait for all browsers of this replica together. Bytes of a broadcast count once, "+
				"however many sessions they wait for. When it is reached, sessions are closed with `slow consumer`: "+
				"the largest first, and those that take nothing before those that read. 0 stands for a quarter of "+
				"memory-limit, at most 256 MiB.", validOutboundTotal),
		config.List("allowed-origins", &o.Origins, nil,
			"Origins of pages that may connect besides the broker's own, like https://app.example.com. "+
				"https://*.example.com matches any one label in place of the star, * matches all, and null matches "+
				"pages without an origin, from files or in sandboxed frames. It holds for every transport.", validOrigins),
		config.Toggle("require-origin", &o.RequireOrigin, false,
			"Refuses clients that send no Origin, which programs other than browsers usually do not."),
		config.Duration("cors-max-age", &o.CORSMaxAge, 0,
			"How long browsers may remember that requests of an allowed origin are allowed, in whole seconds. 0 "+
				"leaves it to the browser.", config.WholeSeconds),
		config.Duration("close-timeout", &o.CloseTimeout, 30*time.Second,
			"How long a closed polling session waits for the request that fetches its last packets.", config.Positive),
		config.Duration("body-timeout", &o.BodyTimeout, 30*time.Second,
			"Bounds the reading of one polling body.", config.Positive),
		config.Duration("write-timeout", &o.WriteTimeout, 20*time.Second,
			"How long a browser may take nothing of what is written to it, before its session is closed with "+
				"`slow consumer`. A polling browser that does not come for what waits is found by ping-timeout.", config.Positive),
		config.Toggle("polling-compression", &o.PollingCompression, true,
			"Compresses polling answers with gzip or deflate where the browser takes it. Events that were "+
				"emitted without compression are compressed only in one answer with others."),
		config.Toggle("websocket-compression", &o.WebSocketCompression, false,
			"Lets browsers and the broker compress WebSocket messages (permessage-deflate, without context "+
				"takeover). It costs time for every event; a broadcast is compressed once for all."),
		config.Size("compression-threshold", &o.CompressionThreshold, 1024,
			"Smallest polling answer and smallest WebSocket message that the broker compresses.", config.AtLeast(0)),
	)
}

func (c *Cookie) settings() []config.Setting {
	return config.Group(config.Transports,
		config.Text("cookie-name", &c.Name, "",
			"Name of a cookie with the session's id on the first answer of a session, for load balancers that "+
				"keep a session's requests together by it. The id is a secret of the browser. Empty means no cookie.", cookiePart(func(c *Cookie, v string) { c.Name = v })),
		config.Text("cookie-path", &c.Path, "/",
			"Path of the cookie. Empty leaves it out.", c.unlessUnnamed(validCookiePath)),
		config.Text("cookie-domain", &c.Domain, "",
			"Domain of the cookie. Empty leaves it out.", c.unlessUnnamed(cookiePart(func(c *Cookie, v string) { c.Domain = v }))),
		config.Duration("cookie-max-age", &c.MaxAge, 0,
			"Age at which browsers drop the cookie, in whole seconds. 0 means when they close.", c.validMaxAge),
		config.Toggle("cookie-secure", &c.Secure, false,
			"Lets browsers send the cookie by HTTPS only."),
		config.Choice("cookie-same-site", &c.SameSite, http.SameSiteLaxMode,
			"With which requests of other sites browsers send the cookie: lax, strict, none (which needs "+
				"cookie-secure), or empty to leave it out.", sameSites, c.sendable),
		config.Toggle("cookie-http-only", &c.HTTPOnly, true,
			"Hides the cookie from scripts of the page."),
	)
}

// DefaultOptions are the defaults of the settings, and options of a server that stands alone.
func DefaultOptions() Options {
	var o Options
	config.Preset(o.Settings())
	o.MaxOutboundTotal, o.DrainSettle, o.Replica = DefaultOutboundTotal, defaultDrainSettle, sio.NewReplicaID()
	return o
}

// DefaultOutboundTotal bounds MaxOutboundTotal where it is taken from the memory of the process.
const DefaultOutboundTotal = 256 << 20

const defaultDrainSettle = 15 * time.Second

// Validate finds all options that make no sense.
func (o *Options) Validate() error {
	f := config.Faults{config.Check(o.Settings())}
	if o.DrainSpread < 0 || o.DrainSettle < 0 {
		f = append(f, fmt.Errorf("drain-spread: the spread %v or the time to settle %v is negative", o.DrainSpread, o.DrainSettle))
	}
	return f.Joined()
}

// pathForm leaves the root to the web application, and rejects what needs escapes in a URL.
var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)

func validPaths(paths []string) error {
	if len(paths) == 0 {
		return errors.New("there must be at least one path, like /socket.io/")
	}
	return config.Each[string](func(path string) error {
		if !pathForm.MatchString(path) {
			return fmt.Errorf("%q must begin with a slash and a name, and should end with a slash, like /socket.io/", path)
		}
		return nil
	})(paths)
}

func validTransports(transports []Transport) error {
	if len(transports) == 0 {
		return errors.New("there must be at least one of " + strings.Join(transportNames(), ", "))
	}
	return config.Each[Transport](config.OneOf(transportNames()...))(transports)
}

// validOutboundTotal accepts 0, for which the owner of the server chooses.
func validOutboundTotal(n int64) error {
	if n == 0 {
		return nil
	}
	return config.AtLeast(1 << 20)(n)
}

func validOrigins(origins []string) error {
	_, err := origin.ParseOrigins(origins)
	return err
}

// sameSites are the values of cookie-same-site.
var sameSites = []config.Named[http.SameSite]{
	{Name: "", Value: 0}, {Name: "lax", Value: http.SameSiteLaxMode}, {Name: "strict", Value: http.SameSiteStrictMode}, {Name: "none", Value: http.SameSiteNoneMode},
}

// cookiePart makes a rule for a part of a cookie, which must not let a value out of its place in
// the header.
func cookiePart(set func(c *Cookie, v string)) func(string) error {
	return func(v string) error {
		c := Cookie{Name: "x"}
		if set(&c, v); v != "" && c.cookie("x").Valid() != nil {
			return fmt.Errorf("%q cannot stand in a cookie; use letters, digits and few signs, without spaces, line ends or semicolons", v)
		}
		return nil
	}
}

func validCookiePath(v string) error {
	if err := cookiePart(func(c *Cookie, v string) { c.Path = v })(v); err != nil {
		return err
	}
	if v != "" && !strings.HasPrefix(v, "/") {
		return fmt.Errorf("%q does not begin with a slash", v)
	}
	return nil
}

// unlessUnnamed makes a rule that holds when there is a cookie.
func (c *Cookie) unlessUnnamed(r func(string) error) func(string) error {
	return func(v string) error {
		if c.Name == "" {
			return nil
		}
		return r(v)
	}
}

func (c *Cookie) validMaxAge(d time.Duration) error {
	if c.Name == "" {
		return nil
	}
	return config.WholeSeconds(d)
}

// sendable rejects a cookie that browsers drop.
func (c *Cookie) sendable(site http.SameSite) error {
	if c.Name != "" && site == http.SameSiteNoneMode && !c.Secure {
		return errors.New("browsers accept none only with cookie-secure")
	}
	return nil
}
