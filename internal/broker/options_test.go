// SPDX-License-Identifier: Apache-2.0

package broker

import (
	"reflect"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/backplane/nats"
	"github.com/spanwire/spanwire/internal/config"
	"github.com/spanwire/spanwire/internal/edge"
)

// The defaults of the settings are those of the rooms, so that a room means the same in its own
// tests and in the broker.
func TestOptions_Defaults(t *testing.T) {
	c := config.Default()
	ours, theirs := edgeOptions(c, "r"), edge.DefaultOptions()
	theirs.Engine.Replica, theirs.Engine.DrainSpread = "r", c.Run.DrainSpread
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("edge:\n%+v\n%+v", ours, theirs)
	}
	if err := ours.Validate(); err != nil {
		t.Error(err)
	}
	bus := nats.Default()
	// twice max-frame, so that the largest emit of a handler fits
	bus.MaxEnvelope = c.Cluster.MaxEnvelope
	if got := (&Broker{config: c}).busOptions(); !reflect.DeepEqual(got, bus) {
		t.Errorf("bus:\n%+v\n%+v", got, bus)
	}
}

// Every option of a room is set from a setting: none is left at zero.
func TestOptions_Complete(t *testing.T) {
	c := config.Default()
	b := &Broker{config: c, replica: "r"}
	if err := b.listeners.open(&config.Listen{HTTPAddress: "127.0.0.1:0", ServiceAddress: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	defer b.listeners.close()
	optional := map[string]bool{"Callers": true, "DrainGrace": true, "ServerTLS": true, "ClientTLS": true, "TLS": true, "URL": true, "Listen": true, "Token": true, "Origins": true, "RequireOrigin": true, "ExplainTooLarge": true, "AllowSocketIDRooms": true, "Others": true, "Calls": true, "Tap": true, "Board": true, "Retention": true, "RetainLast": true, "Connected": true,
		"AllowEIO3": true, "AllowJSONP": true, "Recovery": true, "WebSocketCompression": true,
		"MaxPacketRate": true, "MaxSessions": true, "MaxSessionsPerAddress": true, "TrustedProxies": true, "CORSMaxAge": true, "MaxEventRate": true,
		"ForwardAddress": true, "Secret": true}
	for _, o := range []any{dispatchOptions(c, "r"), b.meshOptions(), b.bridgeOptions(), b.forwardOptions(), b.onceOptions(), b.httpOptions(), b.tailOptions(), edgeOptions(c, "r"), edgeOptions(c, "r").Engine, b.busOptions()} {
		v := reflect.ValueOf(o)
		for i := range v.NumField() {
			if f := v.Type().Field(i); v.Field(i).IsZero() && !optional[f.Name] {
				t.Errorf("%s.%s has no setting", v.Type(), f.Name)
			}
		}
	}
}

// Events are kept until the last socket that missed them may have come back; without recovery none
// are.
func TestOptions_Journal(t *testing.T) {
	c := config.Default()
	if o := journalOptions(c); o.Retention != 0 {
		t.Errorf("kept for %v", o.Retention)
	}
	c.Socket.Recovery = time.Minute
	if o := journalOptions(c); o.Retention != time.Minute+c.Engine.PingInterval+c.Engine.PingTimeout {
		t.Errorf("kept for %v", o.Retention)
	}
}
