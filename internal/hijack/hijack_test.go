// SPDX-License-Identifier: Apache-2.0

package hijack

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A request alone must give its connection; one with bytes behind it must be answered by HTTP,
// whole, and the connection closed.
func TestTake(t *testing.T) {
	for early, want := range map[string]string{"": "taken", "\x81\x80\x00\x00\x00\x00": "refused", "GET / HTTP/1.1\r\n\r\n": "refused"} {
		done := make(chan error, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Kept", "yes")
			conn, _, err := Take(w)
			switch {
			case errors.Is(err, ErrEarly):
				a := NewAnswer(conn, w.Header())
				a.WriteHeader(http.StatusBadRequest)
				a.WriteHeader(http.StatusOK) // of no effect
				_, _ = io.WriteString(a, "refused")
				a.Close()
			case err == nil:
				_, err = io.WriteString(conn, "taken")
				_ = conn.Close()
			}
			done <- err
		}))
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"+early)
		if early == "" {
			got, _ := io.ReadAll(conn)
			if string(got) != want {
				t.Errorf("got %q", got)
			}
		} else {
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			if string(body) != want || answer.StatusCode != 400 || !answer.Close || answer.Header.Get("X-Kept") != "yes" {
				t.Errorf("answered %d %q %v", answer.StatusCode, body, answer.Header)
			}
		}
		_ = conn.Close()
		if err := <-done; err != nil && !strings.Contains(err.Error(), "handshake") {
			t.Error(err)
		}
		server.Close()
	}
}

// What cannot be taken over must say so.
func TestTake_Err(t *testing.T) {
	if _, _, err := Take(httptest.NewRecorder()); !errors.Is(err, http.ErrNotSupported) {
		t.Error(err)
	}
}
