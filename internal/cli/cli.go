// SPDX-License-Identifier: Apache-2.0

// Package cli is the broker's command line: it reads what was asked for, calls internal/broker or a
// running broker, and turns the outcome into an exit code.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/spanwire/spanwire/internal/broker"
	"github.com/spanwire/spanwire/internal/metrics"
)

// Exit codes, as shells know them. A process that a signal ended has signalled plus the signal's
// number.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	signalled  = 128
)

// terminal is where a command speaks.
type terminal struct {
	environ  []string
	out, err io.Writer
}

const usage = `Spanwire: a Socket.IO server whose handlers live somewhere else.

  broker [serve] [flags]           serves browsers and handlers
  broker dev [flags] -- CMD...     serves, and starts CMD as the web application and handler behind it
  broker emit [flags] EVENT [JSON...]
                                   sends an event through a running broker; "broker emit -h" tells more
  broker tail [flags]              follows what happens to a socket, a room or a service, live
  broker sockets [flags]           lists sockets
  broker rooms [flags]             lists rooms
  broker services [flags]          lists services, their instances, and replicas
  broker services retire NAME      forgets an absent service, so that connects do not wait for it
  broker settings                  prints what can be set, as Markdown
  broker metrics                   prints what is counted, as Markdown
  broker version                   prints the version
  broker help                      prints this, and the flags

Every flag is also an environment variable and a key of the YAML file that --config names: --ping-interval is SPANWIRE_PING_INTERVAL
and ping_interval.

Flags:
`

// Main runs the command line without the program's name and returns the exit code.
func Main(args, environ []string, stdout, stderr io.Writer) int {
	t := &terminal{environ: environ, out: stdout, err: stderr}
	name := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	switch name {
	case "serve":
		return t.serve(args)
	case "dev":
		return t.dev(args)
	case "emit":
		return t.emit(args)
	case "tail":
		return t.tail(args)
	case "sockets":
		return t.sockets(args)
	case "rooms":
		return t.rooms(args)
	case "services":
		return t.services(args)
	case "settings":
		return t.print(broker.SettingsPage())
	case "metrics":
		return t.print(metrics.Document())
	case "version":
		return t.print("spanwire broker " + broker.Version() + "\n")
	case "help":
		return t.print(usage + broker.Usage())
	}
	return t.misused(fmt.Errorf("there is no command %q", name))
}

func (t *terminal) print(text string) int {
	if _, err := io.WriteString(t.out, text); err != nil {
		return t.failed(err)
	}
	return exitOK
}

// say writes a line for the person at the terminal. There is nobody to tell when that fails.
func (t *terminal) say(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format+"\n", args...) }

// misused reports a mistake in the command line.
func (t *terminal) misused(err error) int {
	t.say("broker: %v\nRun \"broker help\" for the commands and flags.", err)
	return exitUsage
}

func (t *terminal) failed(err error) int {
	t.say("broker: %v", err)
	return exitFailed
}

// load reads settings over those that c holds. ok is false when there is nothing more to do than to
// return code.
func (t *terminal) load(c *broker.Config, args []string) (rest []string, code int, ok bool) {
	rest, err := c.Load(args, t.environ)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, t.print(usage + broker.Usage()), false
	case err != nil:
		return nil, t.misused(err), false
	}
	return rest, exitOK, true
}

// laptop has the settings of a broker that serves its developer alone: the port should be free
// again soon.
func laptop() *broker.Config {
	c := broker.DefaultConfig()
	c.Run.DrainSpread, c.Run.DrainTimeout = 0, laptopDrain
	c.Dispatch.Retention, c.Dispatch.RetainLast = laptopRetention, true
	c.Listen.Upstream.AnswerTimeout = 0 // the application may stand at a breakpoint
	return c
}

const (
	laptopDrain = 3 * time.Second
	// A service that was renamed must not delay the page; one that restarts must lose nothing.
	laptopRetention = 2 * time.Second
)

// serve runs a broker until a signal ends it.
func (t *terminal) serve(args []string) int {
	c := broker.DefaultConfig()
	rest, code, ok := t.load(c, args)
	if !ok {
		return code
	}
	if len(rest) > 0 {
		return t.misused(fmt.Errorf("serve takes flags only, not %q", rest[0]))
	}
	if c.Run.ExitWithParent {
		c = laptop()
		t.load(c, args) // it went well before
	}
	signals := listen(c.Run.ExitWithParent)
	defer signals.stop()
	err := broker.Run(signals.ctx, c, t.logger(&c.Run), func(b *broker.Broker) { t.print(b.Greeting() + "\n") })
	if err != nil {
		return t.failed(err)
	}
	return exitOK
}
