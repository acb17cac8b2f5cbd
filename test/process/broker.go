// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/metrics"
)

// startLimit is generous: machines that run suites are busy.
const startLimit = 30 * time.Second

// Broker is one replica.
type Broker struct {
	*Process
	HTTP, Services, Operators string // addresses
}

// BuildBroker builds the broker into a folder and gives the binary's path.
func BuildBroker(repository, folder string) (string, error) {
	return BuildGo(repository, folder, "broker", "./cmd/broker")
}

// BuildGo builds a Go program of the repository into a folder and gives the binary's path.
func BuildGo(repository, folder, name, pkg string) (string, error) {
	path := filepath.Join(folder, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// StartBroker starts a replica at free addresses, with more flags if wanted, and waits until it is
// ready.
func StartBroker(binary, name string, flags ...string) (*Broker, error) {
	return StartBrokerOn(binary, name, "127.0.0.1", flags...)
}

// StartBrokerOn is StartBroker with a service listener at an address of this machine, like 0.0.0.0
// for all. They must be reached by the loopback too.
func StartBrokerOn(binary, name, host string, flags ...string) (*Broker, error) {
	services, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return start(binary, name, host, services, "", flags)
}

// StartBrokerAt is StartBroker with operators at an address, of which flags may make another that
// the address reaches too.
func StartBrokerAt(binary, name, operators string, flags ...string) (*Broker, error) {
	services, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return start(binary, name, "127.0.0.1", services, operators, flags)
}

// StartBrokerAgain is StartBroker with a service listener at an address that was another broker's
// before.
func StartBrokerAgain(binary, name, services string, flags ...string) (*Broker, error) {
	return start(binary, name, "127.0.0.1", services, "", flags)
}

func start(binary, name, host, services, operators string, flags []string) (*Broker, error) {
	b := &Broker{Services: services, Operators: operators}
	for _, a := range []*string{&b.HTTP, &b.Operators} {
		if *a != "" {
			continue
		}
		var err error
		if *a, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	_, port, err := net.SplitHostPort(b.Services)
	if err != nil {
		return nil, err
	}
	command := append([]string{binary, "serve", "--http-address", b.HTTP, "--service-address", net.JoinHostPort(host, port),
		"--operator-address", b.Operators}, flags...)
	if b.Process, err = Start(name, "", nil, command...); err != nil {
		return nil, err
	}
	for _, a := range []string{b.Operators, b.HTTP, b.Services} {
		if err := b.WaitListening(a, startLimit); err != nil {
			b.Kill()
			return nil, err
		}
	}
	return b, nil
}

// Get fetches a path of the operators' listener.
func (b *Broker) Get(path string) (string, error) {
	response, err := (&http.Client{Timeout: time.Minute}).Get("http://" + b.Operators + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", path, response.Status, body)
	}
	return string(body), err
}

// Metric sums the samples of a metric whose labels hold all of the given pairs, such as
// `reason="parse_error"`. A metric or a pair that no broker has is an error.
func (b *Broker) Metric(name string, labels ...string) (float64, error) {
	if err := metrics.Declared(name, labels...); err != nil {
		return 0, err
	}
	text, err := b.Get("/metrics")
	if err != nil {
		return 0, err
	}
	return Sum(text, name, labels...)
}

// Sum sums the samples of a metric in the text form of Prometheus.
func Sum(text, name string, labels ...string) (float64, error) {
	var sum float64
lines:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		rest = strings.TrimRight(rest, "\n")
		at := strings.LastIndexByte(rest, ' ')
		for _, l := range labels {
			if !strings.Contains(rest[:at], l) {
				continue lines
			}
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(rest[at:]), 64)
		if err != nil {
			return 0, fmt.Errorf("metric line %q: %w", line, err)
		}
		sum += n
	}
	return sum, nil
}
