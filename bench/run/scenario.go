// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/bench/loadgen"
	"github.com/spanwire/spanwire/test/process"
)

// scenario is one kind of load.
type scenario struct {
	name, title string
	clients     int
	stuck       int // clients beside those, whose events hang their handlers
	targets     []string
	// load is nil for the scenario that only holds clients.
	load    func(context.Context, *loadgen.Fleet, loadgen.Window) (*loadgen.Traffic, error)
	budgets []budget
}

// budget bounds one figure of one target, as a multiple of another target's figure, or absolutely
// when that is empty.
type budget struct {
	target, of string
	figure     string // see measurement.figure
	limit      float64
	atLeast    bool
}

const (
	cpuPerEvent = "us CPU"
	cpuBroker   = "broker"  // of all replicas
	cpuNear     = "replica" // of the one that has the browsers
	cpuHandler  = "handler"
	rate        = "events/s"
	median      = "p50 ms"
	perClient   = "KiB/client"
)

func echo(outstanding int) func(context.Context, *loadgen.Fleet, loadgen.Window) (*loadgen.Traffic, error) {
	return func(ctx context.Context, f *loadgen.Fleet, w loadgen.Window) (*loadgen.Traffic, error) {
		return f.Echo(ctx, outstanding, w)
	}
}

// stuckEach is how many events of each stuck client hang; all of them together are more than the
// window of an instance.
const stuckEach = 4

func broadcast(ctx context.Context, f *loadgen.Fleet, w loadgen.Window) (*loadgen.Traffic, error) {
	return f.Broadcast(ctx, w)
}

func paced(ctx context.Context, f *loadgen.Fleet, w loadgen.Window) (*loadgen.Traffic, error) {
	return f.Latency(ctx, 5000, w)
}

// scenarios are in the order in which they run. The budgets are those that the design was made to.
var scenarios = []scenario{
	{name: "echo-1000x4", title: "echo with acks, 1,000 clients x 4 outstanding", clients: 1000, load: echo(4),
		targets: []string{"go", "python", "node", "floor", "backplane"}, budgets: []budget{
			{target: "go", of: "node", figure: cpuPerEvent, limit: 0.75},
			{target: "python", of: "node", figure: cpuPerEvent, limit: 1.3},
		}},
	{name: "echo-100x1", title: "echo with acks, 100 clients x 1 outstanding", clients: 100, load: echo(1),
		targets: []string{"go", "python", "node", "floor"}, budgets: []budget{
			{target: "go", of: "node", figure: cpuPerEvent, limit: 0.65},
		}},
	{name: "echo-1x1", title: "echo with acks, 1 client x 1 outstanding", clients: 1, load: echo(1),
		targets: []string{"go", "backplane", "node"}},
	{name: "latency", title: "echo at 5,000 events/s over 1,000 clients, open loop", clients: 1000, load: paced,
		targets: []string{"go", "python", "node", "floor"}, budgets: []budget{
			{target: "go", figure: median, limit: 0.5},
			{target: "go", of: "node", figure: cpuPerEvent, limit: 1.8},
		}},
	{name: "stuck", title: "the same, while another event's handler hangs with more than the instance's window", clients: 1000, stuck: 600, load: paced,
		targets: []string{"go", "python"}},
	{name: "broadcast-1000", title: "broadcast to 1,000 (an event is a delivery)", clients: 1000, load: broadcast,
		targets: []string{"go", "python", "node"}, budgets: []budget{
			{target: "go", of: "node", figure: cpuPerEvent, limit: 0.75},
		}},
	{name: "broadcast-10000", title: "broadcast to 10,000 (an event is a delivery)", clients: 10000, load: broadcast,
		targets: []string{"go", "python", "node"}, budgets: []budget{
			{target: "go", of: "node", figure: cpuPerEvent, limit: 0.5},
		}},
	{name: "idle", title: "idle clients, memory of the server that holds them", clients: 0,
		targets: []string{"go", "node", "floor"}, budgets: []budget{
			{target: "go", figure: perClient, limit: 10},
		}},
	{name: "flask", title: "echo with acks, 100 clients x 4 outstanding, Python", clients: 100, load: echo(4),
		targets: []string{"python", "flask"}, budgets: []budget{
			{target: "python", of: "flask", figure: rate, limit: 8, atLeast: true},
		}},
}

func scenarioNames() []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}

func choose(s *settings) ([]scenario, error) {
	if s.only == "" {
		return scenarios, nil
	}
	var chosen []scenario
	for _, sc := range scenarios {
		if listed(s.only, sc.name) {
			chosen = append(chosen, sc)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no scenario is named %q; there are %v", s.only, scenarioNames())
	}
	return chosen, nil
}

// measurement is one scenario on one target, once.
type measurement struct {
	scenario, target string
	round            int
	traffic          *loadgen.Traffic
	cpu              []time.Duration // by process of the target
	brokers          int             // how many of the processes are replicas
	generator        time.Duration
	// share of the machine's processor time that was used by programs that have nothing to do with
	// this
	others    float64
	perClient float64 // KiB
}

func measure(ctx context.Context, s *settings, sc *scenario, t *target, round int) (*measurement, error) {
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	r, err := t.start()
	if err != nil {
		return nil, err
	}
	defer r.stop()
	m := &measurement{scenario: sc.name, target: t.name, round: round, brokers: max(r.brokers, 1)}
	if sc.load == nil {
		err = m.idle(ctx, s, r)
	} else {
		err = m.load(ctx, s, sc, r)
	}
	if err != nil {
		for _, p := range r.processes {
			if log := p.Log(); log != "" {
				err = fmt.Errorf("%w\n%s: %.4000s", err, p.Name, log)
			}
		}
	}
	return m, err
}

// load runs a load and takes the processor times at both ends of its window.
func (m *measurement) load(ctx context.Context, s *settings, sc *scenario, r *running) error {
	fleet, err := loadgen.Connect(ctx, loadgen.Options{Address: r.address, Clients: sc.clients})
	if err != nil {
		return err
	}
	defer fleet.Close()
	if sc.stuck > 0 {
		stuck, err := loadgen.Connect(ctx, loadgen.Options{Address: r.address, Clients: sc.stuck})
		if err != nil {
			return err
		}
		defer stuck.Close()
		if err := stuck.Hang(stuckEach); err != nil {
			return err
		}
	}
	profiled := make(chan error, 1)
	var before, after usage
	m.traffic, err = sc.load(ctx, fleet, loadgen.Window{
		WarmUp: s.warmUp, Length: s.length,
		Begin: func() {
			before = r.usage()
			go func() { profiled <- m.profile(s, r) }() // ends with the window; waited for below
		},
		End: func() { after = r.usage() },
	})
	if err != nil {
		return err
	}
	if err := <-profiled; err != nil {
		return err
	}
	for _, u := range []usage{before, after} {
		if u.err != nil {
			return u.err
		}
	}
	for i := range after.cpu {
		m.cpu = append(m.cpu, after.cpu[i]-before.cpu[i])
	}
	m.generator = after.generator - before.generator
	others := after.machine - before.machine - m.generator
	for _, d := range m.cpu {
		others -= d
	}
	m.others = max(0, others.Seconds()/m.traffic.Elapsed.Seconds()/float64(runtime.NumCPU()))
	return nil
}

// profile fetches a processor profile of the broker, as long as the window.
func (m *measurement) profile(s *settings, r *running) error {
	if s.cpuProfile == "" || r.broker == nil {
		return nil
	}
	body, err := r.broker.Get(fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(s.length.Seconds())))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.cpuProfile, 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%d.pprof", m.scenario, m.target, m.round)
	return os.WriteFile(filepath.Join(s.cpuProfile, name), []byte(body), 0o600)
}

// idle compares the memory of the server before and after clients came that then say nothing.
func (m *measurement) idle(ctx context.Context, s *settings, r *running) error {
	// A few clients first, so that what is allocated once is not counted.
	warm, err := loadgen.Connect(ctx, loadgen.Options{Address: r.address, Clients: 100})
	if err != nil {
		return err
	}
	defer warm.Close()
	before, err := m.settled(ctx, r)
	if err != nil {
		return err
	}
	fleet, err := loadgen.Connect(ctx, loadgen.Options{Address: r.address, Clients: s.idle})
	if err != nil {
		return err
	}
	defer fleet.Close()
	after, err := m.settled(ctx, r)
	if err != nil {
		return err
	}
	if err := fleet.Err(); err != nil {
		return err
	}
	m.perClient = float64(after-before) / 1024 / float64(s.idle)
	return nil
}

// settled waits until the resident memory of the process that holds the clients has stopped to
// shrink, and gives it. Go programs are asked to collect, where they can be asked; a program gives
// memory back in its own time.
func (m *measurement) settled(ctx context.Context, r *running) (int64, error) {
	least, since := int64(1<<62), time.Now()
	for start := time.Now(); time.Since(since) < 3*time.Second && time.Since(start) < 20*time.Second; {
		if r.broker != nil && time.Since(start) < 2*time.Second {
			if _, err := r.broker.Get("/debug/pprof/heap?gc=1"); err != nil {
				return 0, err
			}
		}
		n, err := process.Resident(r.processes[0].PID())
		if err != nil {
			return 0, err
		}
		if n < least-least/200 {
			least, since = n, time.Now()
		}
		least = min(least, n)
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
	return least, nil
}

// usage is processor time used so far.
type usage struct {
	cpu       []time.Duration
	generator time.Duration
	machine   time.Duration
	err       error
}

func (r *running) usage() (u usage) {
	for _, p := range r.processes {
		d, err := process.CPU(p.PID())
		if err != nil {
			u.err = err
		}
		u.cpu = append(u.cpu, d)
	}
	var err error
	if u.machine, err = process.Busy(); err != nil {
		u.err = err
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		u.err = err
	}
	u.generator = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return u
}
