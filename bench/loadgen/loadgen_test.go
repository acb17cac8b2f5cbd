// SPDX-License-Identifier: Apache-2.0

package loadgen

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A percentile is at most 1/32 above the truth and never below it.
func TestHistogram_Quantile(t *testing.T) {
	var h Histogram
	for i := 1; i <= 1000; i++ {
		h.Record(time.Duration(i) * time.Microsecond)
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 1} {
		want := time.Duration(q*1000) * time.Microsecond
		if got := h.Quantile(q); got < want || got > want+want/32+1 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	if h.Max() != time.Millisecond || h.Count() != 1000 {
		t.Errorf("max %v and count %d", h.Max(), h.Count())
	}
}

// Every duration falls into a bucket whose upper end is not below it.
func TestHistogram_Buckets(t *testing.T) {
	for d := time.Duration(1); d < 15*time.Minute; d += d/7 + 1 {
		if i := bucket(d); upper(i) < d || i > 0 && upper(i-1) >= d {
			t.Fatalf("%v is in the bucket from %v to %v", d, upper(i-1), upper(i))
		}
	}
}

// What parseFrame takes apart is what a server wrote, however it is cut.
func TestParseFrame(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		body := bytes.Repeat([]byte("x"), size)
		var frame []byte
		switch {
		case size < 126:
			frame = append([]byte{0x81, byte(size)}, body...)
		case size < 65536:
			frame = append([]byte{0x81, 126, byte(size >> 8), byte(size)}, body...)
		default:
			frame = append([]byte{0x81, 127, 0, 0, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size)}, body...)
		}
		for cut := range min(len(frame), 12) {
			if _, _, ok, err := parseFrame(frame[:cut]); ok || err != nil {
				t.Fatalf("size %d cut at %d: %v %v", size, cut, ok, err)
			}
		}
		payload, rest, ok, err := parseFrame(append(frame, "more"...))
		if !ok || err != nil || !bytes.Equal(payload, body) || string(rest) != "more" {
			t.Fatalf("size %d: %d bytes, rest %q, %v %v", size, len(payload), rest, ok, err)
		}
	}
}

// server is a Socket.IO server of one screen: it acks, and broadcasts to one.
func server(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.TextMessage, []byte(`0{"sid":"x"}`))
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			text := string(data)
			switch {
			case text == "40":
				text = `40{"sid":"y"}`
			case strings.Contains(text, `["broadcast"`):
				text = `42["news",` + Payload + `]`
			default:
				text = "43" + strings.Replace(text[2:], `"echo",`, "", 1)
			}
			_ = conn.WriteMessage(websocket.TextMessage, []byte(text))
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func window() Window {
	return Window{Begin: func() {}, End: func() {}, WarmUp: 20 * time.Millisecond, Length: time.Second}
}

// The three loads work against a server that does what it should.
func TestFleet_OK(t *testing.T) {
	address := server(t)
	for name, run := range map[string]func(*Fleet) (*Traffic, error){
		"echo": func(f *Fleet) (*Traffic, error) { return f.Echo(context.Background(), 4, window()) },
		"latency": func(f *Fleet) (*Traffic, error) {
			return f.Latency(context.Background(), 500, window())
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Connect(context.Background(), Options{Address: address, Clients: 5})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := run(f)
			if err != nil || got.Events == 0 || got.Latency.Count() == 0 {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
	t.Run("broadcast", func(t *testing.T) {
		f, err := Connect(context.Background(), Options{Address: address, Clients: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := f.Broadcast(context.Background(), window()); err != nil || got.Latency.Count() == 0 {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

// A server that goes away is an error, not a low figure.
func TestFleet_ErrLost(t *testing.T) {
	f, err := Connect(context.Background(), Options{Address: server(t), Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = f.clients[1].conn.CloseRead()
	if _, err := f.Echo(context.Background(), 1, window()); err == nil {
		t.Fatal("no error")
	}
}

// Only the loopback is ever loaded.
func TestConnect_ErrNotLoopback(t *testing.T) {
	for _, address := range []string{"192.0.2.1:80", "example.org:80", "0.0.0.0:80"} {
		if _, err := Connect(context.Background(), Options{Address: address, Clients: 1}); err == nil {
			t.Errorf("%s was dialled", address)
		}
	}
}
