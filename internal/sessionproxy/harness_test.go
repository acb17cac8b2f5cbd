// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/spanwire/spanwire/internal/metrics"
	"github.com/spanwire/spanwire/internal/sio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait. It is generous, since machines that run tests are busy.
const patience = 20 * time.Second

// replica is a Forwarder between two servers, with a browsers' entry point that the test opens.
type replica struct {
	*Forwarder
	id        sio.ReplicaID
	session   sio.SessionID // one of its own
	public    *httptest.Server
	taken     *httptest.Server
	metrics   *metrics.SessionProxy
	announced string // where it takes requests
}

// cluster is some replicas that know each other.
type cluster struct {
	mu       sync.Mutex // guards replicas
	replicas map[sio.ReplicaID]*replica
}

func (c *cluster) find(id sio.ReplicaID) (address string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, known := c.replicas[id]
	if !known {
		return "", false
	}
	return r.announced, true
}

// add starts a replica with an entry point.
func (c *cluster) add(t *testing.T, next http.HandlerFunc, changes ...func(*Options)) *replica {
	t.Helper()
	o := Options{Replica: sio.NewReplicaID(), Secret: "a secret of all", Cluster: "c", Find: c.find, Wake: func(sio.SessionID) {}, DrainSession: func(sio.SessionID, time.Duration) {}, MaxForwards: 100,
		WriteTimeout: patience, DrainSettle: patience}
	for _, change := range changes {
		change(&o)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &replica{id: o.Replica, session: sio.NewSessionID(o.Replica), metrics: metrics.NewSessionProxy(prometheus.NewRegistry())}
	r.Forwarder = New(o, next, r.metrics, log)
	r.public, r.taken = httptest.NewServer(r.Forwarder), httptest.NewServer(r.Taken())
	r.announced = r.taken.Listener.Addr().String()
	c.mu.Lock()
	if c.replicas == nil {
		c.replicas = make(map[sio.ReplicaID]*replica)
	}
	c.replicas[r.id] = r
	c.mu.Unlock()
	t.Cleanup(func() {
		r.Close()
		r.public.Close()
		r.taken.Close()
	})
	return r
}

// pair is two replicas: requests come to near, which nothing but a fault may leave to its own entry
// point, and belong to sessions of far.
func pair(t *testing.T, next http.HandlerFunc, changes ...func(*Options)) (near, far *replica) {
	var c cluster
	return c.add(t, unknown, changes...), c.add(t, next)
}

// unknown is the entry point of a replica that has no sessions.
func unknown(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, "unknown here")
}

// url is the address of a request at r for a session.
func (r *replica) url(id sio.SessionID) string {
	return r.public.URL + "/socket.io/?EIO=4&transport=polling&sid=" + string(id)
}

// do sends a request and reads the answer.
func do(t *testing.T, request *http.Request) (*http.Response, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: patience}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await waits for something that a test waits for.
func await[T any](t *testing.T, c <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return value
}

// dial opens a bare connection to a server and says the beginning.
func dial(t *testing.T, s *httptest.Server, text string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}
