// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/origin"
)

// The settings of the listeners, and the rules that join an address to what protects it.

// Settings declares the settings of the listeners.
func (o *Listen) Settings() []config.Setting {
	return slices.Concat(config.Group(config.Listeners,
		config.Text("http-address", &o.HTTPAddress, ":5000",
			"Where browsers connect. Port 0 takes any free port.", config.Address),
		config.Text("service-address", &o.ServiceAddress, "127.0.0.1:50051",
			"Where handlers and emitters dial in by gRPC. Beyond loopback it needs service-tokens, "+
				"service-callers, service-tls-cert or insecure-services.", config.Address, o.protectedServices),
		config.Text("operator-address", &o.OperatorAddress, "127.0.0.1:5001",
			"Where operators find health, readiness, metrics and profiles. Beyond loopback it needs "+
				"service-tokens, service-callers, operator-tls-client-ca or insecure-operators. Health and readiness "+
				"are open to all who reach it. Empty turns it off.", config.Optional(config.Address), o.protectedOperators),
		config.List("operator-hosts", &o.OperatorHosts, nil,
			"Hosts that requests to operator-address may ask for, besides IP addresses, localhost and the host "+
				"of operator-address, in the form of allowed-hosts. Others are answered with 403.", validHosts),
		config.Toggle("insecure-operators", &o.InsecureOperator, false,
			"Lets anyone who reaches operator-address read metrics and status, without token or certificate. For "+
				"trusted networks only. Profiles still need the right operate, or a peer on loopback."),
		config.Toggle("insecure-services", &o.InsecureServices, false,
			"Lets anyone who reaches service-address attach as a handler, without token or TLS. For trusted "+
				"networks only."),
		config.List("service-tokens", &o.ServiceTokens, nil,
			"Bearer tokens, any of which handlers and emitters must show. Several allow a rotation. Empty means "+
				"that none is asked for.", validTokens).Secret(),
		config.Text("service-callers", &o.ServiceCallers, "",
			"YAML file of who may call service-address and the operators' API, and what each may do; see "+
				"docs/how-to/security.md. It is read again when it changes."),
		config.Duration("reload-interval", &o.ReloadInterval, time.Second,
			"How often files of certificates and of callers are looked at.", config.Positive),
		config.Text("advertise-address", &o.AdvertiseAddress, "",
			"The host:port at which handlers on other machines reach this replica's service-address, announced "+
				"to them so that they can attach to every replica. Empty means service-address when it names a host.", config.Optional(config.Address)),
		config.List("allowed-hosts", &o.AllowedHosts, nil,
			"Hosts that requests to http-address may ask for, like app.example.com, app.example.com:8443, "+
				"*.example.com for any one label, or an address. Without a port an entry matches every port. Others "+
				"are answered with 403, which stops pages that let their own name lead here (DNS rebinding). Of "+
				"trusted-proxies X-Forwarded-Host counts. Empty allows all.", validHosts),
		config.List("trusted-proxies", &o.TrustedProxies, nil,
			"Addresses and networks of the proxies in front of http-address, like 10.0.0.0/8. The broker takes "+
				"the client's address and its own origin from their X-Forwarded-For, X-Forwarded-Proto, "+
				"X-Forwarded-Host and X-Forwarded-Port. It ignores these headers of others.", validProxies),
		config.Toggle("proxy-protocol", &o.ProxyProtocol, false,
			"Makes every connection of trusted-proxies to http-address begin with a header of the PROXY "+
				"protocol, version 1 or 2, whose address becomes the client's. For load balancers that pass on TCP.", o.validProxyProtocol),
		config.Duration("header-timeout", &o.HeaderTimeout, 5*time.Second,
			"Time for the header of a browser's request to come.", config.Positive),
		config.Size("max-header", &o.MaxHeader, 64<<10,
			"Largest header of a browser's request, with its URL and cookies. A larger one is answered with 431. "+
				"Go adds 4 KiB to it.", config.AtLeast(leastHeader)),
	), o.certificates(), o.upstream())
}

func (o *Listen) certificates() []config.Setting {
	return config.Group(config.Listeners,
		config.Text("service-tls-cert", &o.ServiceTLS.Cert, "",
			"File with the PEM certificate chain of service-address. All files of certificates and keys are read "+
				"again when they change.", o.ServiceTLS.whole("service")),
		config.Text("service-tls-key", &o.ServiceTLS.Key, "",
			"File with the PEM key of service-tls-cert."),
		config.Text("service-tls-client-ca", &o.ServiceTLS.ClientCA, "",
			"File with the PEM certificates of the authorities whose certificates handlers and emitters must "+
				"show. Empty asks for none.", o.ServiceTLS.authority("service")),
		config.Toggle("service-tls-client-optional", &o.ServiceTLS.Optional, false,
			"Accepts handlers and emitters that show no certificate, for example since they show a token.", o.ServiceTLS.asked),
		config.Text("http-tls-cert", &o.HTTPTLS.Cert, "",
			"File with the PEM certificate chain of http-address, for browsers that come without a proxy between.", o.HTTPTLS.whole("http")),
		config.Text("http-tls-key", &o.HTTPTLS.Key, "",
			"File with the PEM key of http-tls-cert."),
		config.Text("http-tls-client-ca", &o.HTTPTLS.ClientCA, "",
			"File with the PEM certificates of the authorities whose certificates browsers must show. Empty asks "+
				"for none.", o.HTTPTLS.authority("http")),
		config.Text("operator-tls-cert", &o.OperatorTLS.Cert, "",
			"File with the PEM certificate chain of operator-address.", o.OperatorTLS.whole("operator")),
		config.Text("operator-tls-key", &o.OperatorTLS.Key, "",
			"File with the PEM key of operator-tls-cert."),
		config.Text("operator-tls-client-ca", &o.OperatorTLS.ClientCA, "",
			"File with the PEM certificates of the authorities whose certificates operators must show. Empty "+
				"asks for none.", o.OperatorTLS.authority("operator")),
	)
}

func (o *Listen) upstream() []config.Setting {
	return config.Group(config.Listeners,
		config.Text("upstream", &o.Upstream.URL, "",
			"URL of a web application that gets every request that is not Socket.IO, so that page and sockets "+
				"share one origin. Empty means that such requests are answered with 404.", o.validUpstream),
		config.Duration("upstream-connect-timeout", &o.Upstream.ConnectTimeout, 5*time.Second,
			"Time for the upstream to take a connection, before the request is answered with 502.", config.Positive),
		config.Duration("upstream-body-timeout", &o.Upstream.BodyTimeout, 30*time.Second,
			"Time in which the body of a request to the upstream must end, or bring as many bytes as "+
				"upstream-min-body-rate makes in that time; then the time begins again. A slower body is answered "+
				"with 408. The time in which the upstream does not read does not count.", config.Positive),
		config.Size("upstream-min-body-rate", &o.Upstream.MinBodyRate, 500,
			"Least rate of the body of a request to the upstream, in bytes per second, over each "+
				"upstream-body-timeout. 0 asks for one byte in that time."),
		config.Duration("upstream-answer-timeout", &o.Upstream.AnswerTimeout, time.Minute,
			"Time for the upstream to begin its answer once it has the request, and to take each part of the "+
				"request. Then the answer is 504. An answer that has begun may last, and so may a WebSocket. 0 is no "+
				"limit; `broker dev` sets it, for breakpoints.", config.NotNegative("0 is no limit")),
	)
}

// leastHeader is about what browsers send without cookies.
const leastHeader = 4 << 10

// OperatorsOnLoopback tells whether only programs on this machine reach the operators' listener.
func (o *Listen) OperatorsOnLoopback() bool { return config.Loopback(o.OperatorAddress) }

// protectedServices rejects a listener at which anyone could attach.
func (o *Listen) protectedServices(address string) error {
	if config.Loopback(address) || o.InsecureServices || o.ServiceTLS.Cert != "" || len(o.ServiceTokens) > 0 || o.ServiceCallers != "" {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines, where anyone could attach as a handler; set service-tokens, "+
		"service-callers or service-tls-cert, or insecure-services if the network is trusted", address)
}

// protectedOperators rejects a listener at which anyone could read metrics and status.
func (o *Listen) protectedOperators(address string) error {
	if address == "" || o.OperatorsOnLoopback() || o.InsecureOperator || o.OperatorTLS.ClientCA != "" || len(o.ServiceTokens) > 0 || o.ServiceCallers != "" {
		return nil
	}
	return fmt.Errorf("%q can be reached from other machines, where anyone could read metrics and status; set service-tokens, service-callers or "+
		"operator-tls-client-ca, or insecure-operators if the network is trusted", address)
}

func validTokens(tokens []string) error {
	var all []error
	for i, token := range tokens {
		if config.Guessable(token) {
			all = append(all, fmt.Errorf("token %d can be guessed or mistyped; use at least %d characters without spaces", i+1, config.MinSecret))
		}
	}
	return errors.Join(all...)
}

func validHosts(hosts []string) error {
	_, err := origin.ParseHosts(hosts)
	return err
}

func validProxies(items []string) error {
	_, err := origin.ParseProxies(items)
	return err
}

// Proxies are the networks of the setting trusted-proxies.
func (o *Listen) Proxies() ([]netip.Prefix, error) { return origin.ParseProxies(o.TrustedProxies) }

func (o *Listen) validProxyProtocol(on bool) error {
	if on && len(o.TrustedProxies) == 0 {
		return errors.New("it is accepted from trusted proxies only; name them in trusted-proxies")
	}
	return nil
}

func (o *Listen) validUpstream(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%q is no URL of a web application; write http://host:port", address)
	}
	if _, port, _ := net.SplitHostPort(o.HTTPAddress); port != "0" && u.Port() == port && config.Loopback(u.Host) {
		return fmt.Errorf("%q is the broker's own http-address, so a request would loop; give the application another port", address)
	}
	return nil
}

// whole rejects a certificate without its key, and a key without its certificate.
func (t *TLS) whole(listener string) func(string) error {
	return func(string) error {
		if (t.Cert == "") != (t.Key == "") {
			return fmt.Errorf("a certificate needs its key; set %s-tls-cert and %s-tls-key together", listener, listener)
		}
		return nil
	}
}

// authority rejects authorities of a listener that has no certificate.
func (t *TLS) authority(listener string) func(string) error {
	return func(string) error {
		if t.ClientCA != "" && t.Cert == "" {
			return fmt.Errorf("callers show certificates to a listener that has one; set %s-tls-cert and %s-tls-key", listener, listener)
		}
		return nil
	}
}

func (t *TLS) asked(optional bool) error {
	if optional && t.ClientCA == "" {
		return errors.New("no certificate is asked for; set service-tls-client-ca")
	}
	return nil
}
