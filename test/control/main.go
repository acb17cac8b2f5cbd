// SPDX-License-Identifier: Apache-2.0

// Command control lets suites in other languages start and end brokers and handlers. It builds the
// broker, listens on a port of its own on the loopback, and runs a command with the address in
// TEST_CONTROL:
//
//	go run ./test/control -handler go -- node --test test/interop/js/*.test.js
//
// The command asks for clusters over HTTP (http.go has the requests). What the processes print is
// kept; when the command fails, it is printed, the folder that holds it is named, and last of all
// it says again which tests failed, and why. Everything that was started ends with this program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/test/process"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("control: ")
	c := &control{}
	flag.StringVar(&c.kind, "handler", "go", "which handlers serve: go, python or node")
	flag.StringVar(&c.python, "python", "python3", "Python for handlers and applications; it needs grpc, protobuf and flask")
	flag.StringVar(&c.broker, "broker", "", "binary of the broker; built when empty")
	flag.Func("setting", "a setting of every broker that is started, NAME=VALUE; may be given again", func(text string) error {
		if !strings.Contains(text, "=") {
			return errors.New("want NAME=VALUE")
		}
		c.settings = append(c.settings, "--"+text)
		return nil
	})
	limit := flag.Duration("limit", 10*time.Minute, "time after which the command is ended")
	flag.Parse()
	if flag.NArg() == 0 || !slices.Contains([]string{"go", "python", "node"}, c.kind) {
		log.Fatal("usage: control [-handler go|python|node] -- COMMAND...")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *limit)
	code, err := c.run(ctx, flag.Args())
	cancel()
	stop()
	if err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

// control holds what all clusters share.
type control struct {
	kind, python, broker string
	repository, folder   string
	settings             []string          // flags of every broker
	built                map[string]string // Go programs by package
	clusters             clusters
}

func (c *control) run(ctx context.Context, command []string) (code int, err error) {
	if err := c.build(); err != nil {
		return 1, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1, err
	}
	server := &http.Server{Handler: c.handler(), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() { // ends with Close
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err)
		}
	}()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "TEST_CONTROL=http://"+l.Addr().String(), "TEST_HANDLER="+c.kind)
	var said kept
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &said), io.MultiWriter(os.Stderr, &said)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it passed, and something that it started still holds its output
	}
	_ = server.Close()
	<-served
	c.clusters.stopAll()
	if err == nil {
		return 0, os.RemoveAll(c.folder)
	}
	c.tell()
	fmt.Fprintf(os.Stderr, "--- %s: what failed\n%s\n", strings.Join(command, " "), strings.Join(story(said.lines()), "\n"))
	return 1, err
}

// build makes the binaries.
func (c *control) build() (err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/spanwire/spanwire").Output()
	if err != nil {
		return fmt.Errorf("run this inside the repository: %w", err)
	}
	c.repository = strings.TrimSpace(string(out))
	if c.folder, err = os.MkdirTemp("", "spanwire-test-"); err != nil {
		return err
	}
	c.clusters.folder = c.folder
	if c.broker == "" {
		if c.broker, err = process.BuildBroker(c.repository, c.folder); err != nil {
			return err
		}
	}
	if c.broker, err = filepath.Abs(c.broker); err != nil {
		return err
	}
	c.built = make(map[string]string)
	for name, pkg := range map[string]string{
		"handler": "./test/interop/handlers/go", "go_chat": "./examples/go_chat", "polyglot": "./examples/polyglot",
	} {
		if c.built[name], err = process.BuildGo(c.repository, c.folder, name, pkg); err != nil {
			return err
		}
	}
	return nil
}

// handlerCommand starts the handlers' program in the language asked for.
func (c *control) handlerCommand() []string {
	if c.kind == "python" {
		return []string{c.python, filepath.Join(c.repository, "test/interop/handlers/python/handler.py")}
	}
	if c.kind == "node" {
		return []string{"node", filepath.Join(c.repository, "test/interop/handlers/node/handler.js")}
	}
	return []string{c.built["handler"]}
}

func (c *control) pythonPath() string {
	return "PYTHONPATH=" + filepath.Join(c.repository, "sdk/python/src")
}

// tell prints the ends of all logs.
func (c *control) tell() {
	logs, err := filepath.Glob(filepath.Join(c.folder, "*.log"))
	if err != nil {
		return
	}
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(os.Stderr, "--- %s, the last of %d lines\n%s\n", filepath.Base(path), len(lines),
			strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
	fmt.Fprintf(os.Stderr, "control: all logs are in %s\n", c.folder)
}
