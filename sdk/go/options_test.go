// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the options leave open is taken from the environment, then from the defaults.
func TestOptions_withDefaults(t *testing.T) {
	for _, name := range []string{"SPANWIRE_ADDRESS", "SPANWIRE_TOKEN", "SPANWIRE_TLS", "SPANWIRE_TLS_CA"} {
		t.Setenv(name, "")
	}
	o := Options{}.withDefaults()
	if got := o.addresses(); len(got) != 1 || got[0] != "127.0.0.1:50051" || !validID(o.InstanceID) || o.MaxQueue != 8<<20 {
		t.Errorf("options = %+v", o)
	}
	t.Setenv("SPANWIRE_ADDRESS", "a:1, b:2")
	t.Setenv("SPANWIRE_TOKEN", "secret")
	if o = (Options{}).withDefaults(); len(o.addresses()) != 2 || o.Token != "secret" {
		t.Errorf("options = %+v", o)
	}
	if o = (Options{Address: "c:3", Token: "other"}).withDefaults(); o.addresses()[0] != "c:3" || o.Token != "other" {
		t.Errorf("options = %+v", o)
	}
}

// TLS is used when the options or the environment ask for it; a token in clear is warned of.
func TestOptions_transportCredentials(t *testing.T) {
	t.Setenv("SPANWIRE_TLS", "")
	t.Setenv("SPANWIRE_TLS_CA", "")
	var log bytes.Buffer
	o := Options{Token: "secret", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	protocol := func(o *Options, address string) string {
		c, err := o.transportCredentials(address)
		if err != nil {
			return err.Error()
		}
		return c.Info().SecurityProtocol
	}
	for _, address := range []string{"127.0.0.1:1", "localhost:1", "[::1]:1", "unix:///x"} {
		if got := protocol(&o, address); got != "insecure" || log.Len() > 0 {
			t.Errorf("%s: %s, %s", address, got, log.String())
		}
	}
	if got := protocol(&o, "broker:1"); got != "insecure" || !strings.Contains(log.String(), "without TLS") {
		t.Errorf("%s, %s", got, log.String())
	}
	if got := protocol(&Options{TLS: &tls.Config{}}, "127.0.0.1:1"); got != "tls" {
		t.Error(got)
	}
	t.Setenv("SPANWIRE_TLS", "true")
	if got := protocol(&o, "127.0.0.1:1"); got != "tls" {
		t.Error(got)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	t.Setenv("SPANWIRE_TLS_CA", file)
	if got := protocol(&o, "broker:1"); !strings.Contains(got, "SPANWIRE_TLS_CA") {
		t.Error(got)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := protocol(&o, "broker:1"); !strings.Contains(got, "no certificate in") {
		t.Error(got)
	}
	if _, err := NewEmitter(Options{}); err == nil {
		t.Error("an emitter without its certificates was made")
	}
}

// The short ways of a service, a namespace and a socket lead to the targets that their names say.
func TestTarget_shortcuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		svc, s, run := attached(t, func(svc *Service) { svc.Namespace("/n").On("x", echo) })
		n := svc.Namespace("n")
		sock := &Socket{id: "me", namespace: n}
		cases := []struct {
			err    error
			ns     string
			rooms  string
			except string
		}{
			{svc.Send(1), "/", "", ""},
			{svc.Except("e").Emit("x"), "/", "", "e"},
			{n.Emit("x"), "/n", "", ""},
			{n.Send(1), "/n", "", ""},
			{n.To("a").To("b").Emit("x"), "/n", "a b", ""},
			{n.Except("e").Emit("x"), "/n", "", "e"},
			{svc.Namespace("/other").Emit("x"), "/other", "", ""},
			{sock.Send(1), "/n", "me", ""},
			{sock.Volatile().Emit("x"), "/n", "me", ""},
			{sock.Except("e").Emit("x"), "/n", "", "me e"},
			{sock.Broadcast().Emit("x"), "/n", "", "me"},
		}
		list := s.actions(t, len(cases))
		for i, c := range cases {
			if c.err != nil {
				t.Errorf("%d: %v", i, c.err)
			}
			e := list[i].GetCommand().GetEmit().GetTarget()
			if e.GetNamespace() != c.ns || strings.Join(e.GetRooms(), " ") != c.rooms || strings.Join(e.GetExcept(), " ") != c.except {
				t.Errorf("%d: target = %v", i, e)
			}
		}
		if err := sock.Disconnect(false); err != nil {
			t.Error(err)
		}
		if d := s.actions(t, 1)[0].GetCommand().GetDisconnect(); d.GetTarget().GetRooms()[0] != "me" || d.GetCloseSession() {
			t.Errorf("disconnect = %v", d)
		}
		if sock.Namespace().Name() != "/n" || sock.Handshake().URL != "" {
			t.Error("the socket's facts are wrong")
		}
		run.leave(t, s)
	})
}
