// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/spanwire/spanwire/internal/auth"
	"github.com/spanwire/spanwire/internal/certs"
	"github.com/spanwire/spanwire/internal/filewatch"
	"github.com/spanwire/spanwire/internal/metrics"
)

// secured are the certificates of the listeners; nil where a listener has none.
type secured struct{ http, services, operators, cluster *certs.Store }

// openCertificates reads the certificates of all listeners.
func (b *Broker) openCertificates() (err error) {
	l := &b.config.Listen
	for _, x := range []struct {
		name     string
		store    **certs.Store
		files    *TLS
		protocol string
	}{
		{"http", &b.secured.http, &l.HTTPTLS, "http/1.1"}, // WebSocket needs it
		{"service", &b.secured.services, &l.ServiceTLS, "h2"},
		{"operator", &b.secured.operators, &l.OperatorTLS, "http/1.1"},
		{"cluster", &b.secured.cluster, &b.config.Cluster.TLS, "http/1.1"},
	} {
		if x.files.Cert == "" {
			continue
		}
		*x.store, err = certs.Open(certs.Options{
			Cert: x.files.Cert, Key: x.files.Key, ClientCA: x.files.ClientCA, Optional: x.files.Optional, Protocols: []string{x.protocol},
		})
		if err != nil {
			return fmt.Errorf("settings %s-tls-cert and its neighbours: %w", x.name, err)
		}
	}
	return nil
}

// openCallers reads who may call.
func (b *Broker) openCallers() (err error) {
	if b.callers, err = auth.Open(b.config.Listen.ServiceTokens, b.config.Listen.ServiceCallers); err != nil {
		return fmt.Errorf("setting service-callers: %w", err)
	}
	return nil
}

// watchFiles has files read again when they change, until the broker stops.
func (b *Broker) watchFiles() {
	w := filewatch.New(b.config.Listen.ReloadInterval, metrics.NewFileWatch(b.registry), b.log)
	for listener, s := range map[string]*certs.Store{
		"browsers": b.secured.http, "services": b.secured.services, "operators": b.secured.operators, "cluster": b.secured.cluster,
	} {
		if s == nil {
			continue
		}
		expiry := b.tlsMetrics.NotAfter.With(listener)
		measure := func() { expiry.Set(float64(s.Ends())) }
		measure()
		w.Add(listener+" certificate", s, measure)
	}
	if b.config.Listen.ServiceCallers != "" {
		w.Add("callers", b.callers, b.bridge.CallersChanged)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.unwatch = cancel
	b.watching.Go(func() { w.Run(ctx) }) // ended by unwatch
}

// secure gives the listener the certificate, if there is one.
func secure(l net.Listener, s *certs.Store) net.Listener {
	if s == nil {
		return l
	}
	return tls.NewListener(l, s.Config())
}

// scheme is how URLs of a listener begin.
func scheme(s *certs.Store) string {
	if s == nil {
		return "http://"
	}
	return "https://"
}
