// SPDX-License-Identifier: Apache-2.0

// Command run measures the broker beside the Node reference server and a floor, on one machine in
// one run, and prints what the design allows beside what came out.
//
//	go run ./bench/run
//	go run ./bench/run -only echo-1x1,echo-1000x4 -targets go,backplane,node
//	go run ./bench/run -only echo-1000x4,idle -rounds 1 -cpuprofile /tmp/profiles
//
// Each measurement starts new servers, warms them up, and reads their processor time from
// /proc at both ends of a window. The targets of a scenario take turns, round after round, so that
// a slow minute of the machine meets all of them; the table shows medians. Everything stays on the
// loopback and ends by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

// settings are the flags.
type settings struct {
	only       string
	targets    string
	rounds     int
	length     time.Duration
	warmUp     time.Duration
	idle       int
	broker     string
	python     string
	flags      string
	cpuProfile string
	strict     bool
	markdown   bool
}

func main() {
	log.SetFlags(0)
	s := &settings{}
	flag.StringVar(&s.only, "only", "", "scenarios to run, with commas between; all when empty: "+strings.Join(scenarioNames(), ", "))
	flag.StringVar(&s.targets, "targets", "", "targets to measure, with commas between; all when empty: go, backplane, python, node, floor, flask")
	flag.IntVar(&s.rounds, "rounds", 3, "how often each measurement is made; the median counts")
	flag.DurationVar(&s.length, "length", 5*time.Second, "length of one measurement")
	flag.DurationVar(&s.warmUp, "warm-up", 2*time.Second, "time before it")
	flag.IntVar(&s.idle, "idle-clients", 10_000, "clients of the idle scenario")
	flag.StringVar(&s.broker, "broker", "", "binary of the broker; built when empty")
	flag.StringVar(&s.python, "python", "python3", "Python that can import grpc and protobuf (and flask_socketio, for the flask scenario)")
	flag.StringVar(&s.flags, "broker-flags", "", "more flags for the broker, with spaces between")
	flag.StringVar(&s.cpuProfile, "cpuprofile", "", "folder for processor profiles of the broker, one for each measurement")
	flag.BoolVar(&s.strict, "strict", false, "fail when a budget is missed")
	flag.BoolVar(&s.markdown, "markdown", false, "print the rows of docs/benchmarks.md too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s *settings) error {
	repository, err := repositoryRoot()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "spanwire-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	chosen, err := choose(s)
	if err != nil {
		return err
	}
	targets, err := prepare(s, repository, folder, chosen)
	if err != nil {
		return err
	}
	results := newResults()
	var failures []error
	for _, sc := range chosen {
		for round := range s.rounds {
			for _, name := range sc.targets {
				target, ok := targets[name]
				if !ok {
					continue
				}
				m, err := measure(ctx, s, &sc, target, round)
				if err != nil {
					failures = append(failures, fmt.Errorf("%s on %s: %w", sc.name, name, err))
					log.Print(failures[len(failures)-1])
					if ctx.Err() != nil {
						return errors.Join(failures...)
					}
					continue
				}
				log.Print(m)
				results.add(m)
			}
		}
	}
	passed := results.print(os.Stdout, chosen, s)
	if s.strict && !passed {
		failures = append(failures, errors.New("a budget was missed"))
	}
	return errors.Join(failures...)
}

func repositoryRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/spanwire/spanwire").Output()
	if err != nil {
		return "", fmt.Errorf("run this inside the repository: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// prepare builds what the chosen scenarios need.
func prepare(s *settings, repository, folder string, chosen []scenario) (map[string]*target, error) {
	wanted := make(map[string]bool)
	for _, sc := range chosen {
		for _, t := range sc.targets {
			wanted[t] = s.targets == "" || listed(s.targets, t)
		}
	}
	if s.broker == "" && (wanted["go"] || wanted["backplane"] || wanted["python"]) {
		var err error
		if s.broker, err = process.BuildBroker(repository, folder); err != nil {
			return nil, err
		}
	}
	built := make(map[string]string)
	for name, pkg := range map[string]string{"go": "./bench/handlers/go", "floor": "./bench/floor"} {
		if !wanted[name] && (name != "go" || !wanted["backplane"]) {
			continue
		}
		var err error
		if built[name], err = process.BuildGo(repository, folder, name, pkg); err != nil {
			return nil, err
		}
	}
	if wanted["node"] {
		if _, err := os.Stat(filepath.Join(repository, "bench/node/node_modules")); err != nil {
			return nil, errors.New("the Node server is not installed; run: npm --prefix bench/node ci")
		}
	}
	all := allTargets(s, repository, built)
	for name := range all {
		if !wanted[name] {
			delete(all, name)
		}
	}
	return all, nil
}

func listed(list, name string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(item) == name {
			return true
		}
	}
	return false
}
