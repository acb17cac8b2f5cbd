// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"reflect"
	"testing"
	"time"
)

// Options with the defaults of all settings are valid, and those that a package needs beside its
// settings are set: none is left at zero but the ones that may be.
func TestOptions_Complete(t *testing.T) {
	c := DefaultConfig()
	b := &Broker{config: c, replica: "r"}
	if err := b.listeners.open(&Listen{HTTPAddress: "127.0.0.1:0", ServiceAddress: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	defer b.listeners.close()
	optional := map[string]bool{"Callers": true, "DrainGrace": true, "ServerTLS": true, "ClientTLS": true, "TLS": true, "URL": true, "Listen": true, "Token": true, "Origins": true, "RequireOrigin": true, "ExplainTooLarge": true, "AllowSocketIDRooms": true, "Others": true, "Calls": true, "Tap": true, "Board": true, "Retention": true, "RetainLast": true, "Connected": true,
		"AllowEIO3": true, "AllowJSONP": true, "Recovery": true, "WebSocketCompression": true,
		"MaxPacketRate": true, "MaxSessions": true, "MaxSessionsPerAddress": true, "TrustedProxies": true, "CORSMaxAge": true, "MaxEventRate": true,
		"ForwardAddress": true, "Secret": true}
	edge := b.edgeOptions()
	for _, o := range []any{b.dispatchOptions(), b.meshOptions(), b.bridgeOptions(), b.forwardOptions(), b.idempotencyOptions(), b.httpOptions(), c.Trace, edge, edge.Engine, b.busOptions()} {
		v := reflect.ValueOf(o)
		for i := range v.NumField() {
			if f := v.Type().Field(i); v.Field(i).IsZero() && !optional[f.Name] {
				t.Errorf("%s.%s is not set", v.Type(), f.Name)
			}
		}
	}
	if err := edge.Validate(); err != nil {
		t.Error(err)
	}
}

// Events are kept until the last socket that missed them may have been recovered; without recovery
// none are.
func TestOptions_Journal(t *testing.T) {
	c := DefaultConfig()
	if o := c.journalOptions(); o.Retention != 0 {
		t.Errorf("kept for %v", o.Retention)
	}
	c.Edge.Recovery = time.Minute
	if o := c.journalOptions(); o.Retention != time.Minute+c.Edge.Engine.PingInterval+c.Edge.Engine.PingTimeout {
		t.Errorf("kept for %v", o.Retention)
	}
}
