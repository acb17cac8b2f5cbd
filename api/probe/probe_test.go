// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever listens is recognized, whether it was dialled with TLS or without, and the advice names
// what to change.
func TestLook(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	broker := serve(t, grpc.NewServer())
	secureBroker := serve(t, grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&secure.TLS.Certificates[0]))))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, c := range map[string]struct {
		address       string
		want          Listener
		advice, byTLS string // words of what is said to who dialled without TLS, and with
	}{
		"a web server":          {web.Listener.Addr().String(), HTTP1, "50051", "50051"},
		"a web server with TLS": {secure.Listener.Addr().String(), HTTPS, "50051", "50051"},
		"a broker":              {broker, HTTP2, "", "does not speak TLS"},
		"a broker with TLS":     {secureBroker, TLS, "SPANWIRE_TLS=true", ""},
		"nobody":                {closed.Addr().String(), Nobody, "nothing listens", "nothing listens"},
	} {
		for usedTLS, words := range map[bool]string{false: c.advice, true: c.byTLS} {
			if got := Look(t.Context(), c.address, usedTLS); got != c.want {
				t.Errorf("%s, TLS %v: got %v, want %v", name, usedTLS, got, c.want)
			}
			if got := Advice(t.Context(), c.address, usedTLS); !strings.Contains(got, words) || (words == "") != (got == "") {
				t.Errorf("%s, TLS %v: the advice is %q, without %q", name, usedTLS, got, words)
			}
		}
	}
}

// What says nothing, or nonsense, is not guessed at.
func TestLook_Unknown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { // ends with the listener
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 smtp.example.com\r\n")
			_ = c.Close()
		}
	}()
	defer func() {
		_ = l.Close()
		<-over
	}()
	if got := Look(t.Context(), l.Addr().String(), false); got != Unknown {
		t.Errorf("got %v", got)
	}
	if got := Advice(t.Context(), l.Addr().String(), false); got != "" {
		t.Errorf("advice %q", got)
	}
}

func serve(t *testing.T, s *grpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { // ends with the server
		defer close(over)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-over
	})
	return l.Addr().String()
}
