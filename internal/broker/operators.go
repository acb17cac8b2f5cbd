// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/spanwire/spanwire/internal/admin"
	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/origin"
	"github.com/spanwire/spanwire/internal/sio"
)

// Who may see what at operator-address:
//
//   - Health and readiness are open: probes of an orchestrator have no credentials.
//   - Metrics, status and the page are for programs on this machine, callers with the right query
//     or operate, and clients whose certificate operator-tls-client-ca vouches for. The setting
//     insecure-operators opens them.
//   - Profiles are for programs on this machine, callers with the right operate, and, where no
//     caller is named, clients with such a certificate.
//
// The Host of every request must be an address, or a name that the settings know: a page in a
// browser of this machine can let a name of its own lead here, and would pass for a program of this
// machine.

// newOperators makes the handler of operator-address.
func (b *Broker) newOperators() http.Handler {
	o := &operators{guard: b.guard("operators"), callers: b.callers, insecure: b.config.Listen.InsecureOperator}
	return o.hosts(b.config.Listen.OperatorAddress, b.config.Listen.OperatorHosts, admin.New(admin.Options{
		Gatherer: b.registry, Ready: b.ready, Status: b.status, Profiling: b.config.Run.Profiling, API: b.bridge.HTTP(b.httpOptions()),
		Look: o.look, Operate: o.operate,
	}))
}

// operators decides who may see what.
type operators struct {
	*guard
	callers  *auth.Callers
	insecure bool
}

var wrongOperatorHost = &refusal{
	status: http.StatusForbidden, reason: "host", setting: "operator-hosts",
	text: "the Host of the request is no address, and not in the setting operator-hosts",
}

// hosts refuses requests for hosts that a page may have chosen.
func (o *operators) hosts(address string, more []string, next http.Handler) http.Handler {
	allowed, _ := origin.ParseHosts(more) // Validate has read them
	own, _ := origin.ParseHosts(nil)
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" && !strings.Contains(host, ":") {
		own, _ = origin.ParseHosts([]string{host}) // one that is no host is none that is asked for
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme := origin.Scheme(r.TLS != nil)
		if !origin.IsAddress(r.Host) && !own.Match(scheme, r.Host) && !allowed.Match(scheme, r.Host) {
			o.refuse(w, r, wrongOperatorHost, "host", shortened(r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// look admits callers that may see metrics and status.
func (o *operators) look(next http.Handler) http.Handler {
	return o.admit(next, true, func(r *http.Request) error {
		if o.insecure {
			return nil
		}
		caller, err := o.caller(r)
		if err != nil {
			if sio.CodeOf(err) == sio.CodeUnauthenticated && bearer(r) == "" && certified(r) {
				return nil
			}
			return err
		}
		return caller.MayLook()
	})
}

// operate admits callers that may take profiles.
func (o *operators) operate(next http.Handler) http.Handler {
	return o.admit(next, false, func(r *http.Request) error {
		caller, err := o.caller(r)
		if err != nil {
			return err
		}
		return caller.MayOperate()
	})
}

// caller authenticates the request. Nil may do everything.
func (o *operators) caller(r *http.Request) (*auth.Caller, error) {
	if o.callers.Asked() {
		return o.callers.Authenticate(bearer(r), r.TLS)
	}
	if !certified(r) {
		return nil, sio.E(sio.CodeUnauthenticated, "access", "ask from this machine, or set service-tokens, service-callers or operator-tls-client-ca and show "+
			"a token or a certificate")
	}
	return nil, nil //nolint:nilnil // nil is who may do everything
}

// admit rejects callers that fail the check. Programs on this machine are not checked, but a
// browser there is: a page of another origin may link to what is served here, if links are allowed,
// and request nothing.
func (o *operators) admit(next http.Handler, links bool, check func(r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// cross-site or same-site
		foreign := strings.HasSuffix(r.Header.Get("Sec-Fetch-Site"), "-site")
		if foreign && !(links && r.Header.Get("Sec-Fetch-Mode") == "navigate") {
			o.refuse(w, r, &refusal{status: http.StatusForbidden, reason: "cross_site", text: "pages of other origins may not ask for this"})
			return
		}
		err := error(nil)
		if !fromLoopback(r) {
			err = check(r)
		}
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
		case sio.CodeOf(err) == sio.CodeUnauthenticated:
			w.Header().Set("WWW-Authenticate", "Bearer")
			o.refuse(w, r, &refusal{status: http.StatusUnauthorized, reason: "unauthenticated", setting: "service-tokens, service-callers", text: said(err)})
		default:
			o.refuse(w, r, &refusal{status: http.StatusForbidden, reason: "denied", setting: "service-callers", text: said(err)})
		}
	})
}

// said is the sentence of an error, without the operation.
func said(err error) string {
	var e *sio.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// certified tells whether the client showed a certificate that was checked.
func certified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// fromLoopback tells whether the request is from a program on this machine.
func fromLoopback(r *http.Request) bool {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}
