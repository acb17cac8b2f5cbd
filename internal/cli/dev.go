// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/internal/broker"
)

// dev serves, with the command behind it: the command finds the broker and its own web address in
// the environment, gets all requests that are not Socket.IO, and both end together.
func (t *terminal) dev(args []string) int {
	c := laptop()
	command, code, ok := t.load(c, args)
	if !ok {
		return code
	}
	if len(command) == 0 {
		return t.misused(errors.New("dev needs the command of the application: broker dev -- python app.py"))
	}
	address, err := freeAddress()
	if err != nil {
		return t.failed(err)
	}
	if c.Listen.Upstream.URL == "" {
		c.Listen.Upstream.URL = "http://" + address
	}
	signals := listen(c.Run.ExitWithParent)
	defer signals.stop()
	b, err := broker.Start(c, t.logger(&c.Run))
	if err != nil {
		return t.failed(err)
	}
	app, err := t.startApplication(command, t.environment(c, b.ServiceAddress(), address))
	if err != nil {
		_ = b.Drain() // the error at hand says more
		return t.failed(fmt.Errorf("cannot start the application: %w", err))
	}
	signals.before(app.kill)
	t.print(b.Greeting() + "\n")

	select {
	case <-app.ended:
		code = t.applicationEnded(app)
		app.stop() // what it started may still be there
	case <-signals.ctx.Done():
		app.stop() // first, since it drains its own stream, which needs the broker
	}
	if err := b.Drain(); err != nil {
		return t.failed(err)
	}
	return code
}

// environment is the application's: this process's, with where the broker and itself are.
func (t *terminal) environment(c *broker.Config, broker, app string) []string {
	environ := append(slices.Clone(t.environ), "SPANWIRE_ADDRESS="+broker, "SPANWIRE_APP_ADDRESS="+app)
	if t.env("SPANWIRE_RETIRE", "") == "" {
		// an application that is renamed must not hold up its page
		environ = append(environ, "SPANWIRE_RETIRE=true")
	}
	if tokens := c.Listen.ServiceTokens; len(tokens) > 0 && t.env("SPANWIRE_TOKEN", "") == "" {
		environ = append(environ, "SPANWIRE_TOKEN="+tokens[0])
	}
	return environ
}

// env reads a variable that is no setting.
func (t *terminal) env(name, fallback string) string {
	for _, e := range slices.Backward(t.environ) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return fallback
}

func (t *terminal) applicationEnded(app *application) int {
	code := app.exitCode()
	t.say("broker: the application ended with exit code %d", code)
	return code
}

// freeAddress finds a port for the application. It looks below the ports that systems give to
// outgoing connections, one of which could take the port before the application does.
func freeAddress() (address string, err error) {
	const first, count, tries = 10_000, 22_000, 100
	for range tries {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("cannot find a free port for the application: %w", err)
}
