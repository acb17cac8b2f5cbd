// SPDX-License-Identifier: Apache-2.0

package rows

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var unsendableRows = []row{
	{"O22", "each call with something that cannot be sent says so", func(t *testing.T, w *world) {
		c := w.with(t, plainHandlers...).connected(t)
		c.send(`421["unsendable calls"]`)
		c.want(`431[[]]`)
	}},
	{"O22b", "an answer that cannot be sent fails its event, and the log of the handlers names it", func(t *testing.T, w *world) {
		s := w.with(t, plainHandlers...)
		c := s.connected(t)
		for i, kind := range []string{"nan", "circle", "function", "large"} {
			c.send(fmt.Sprintf(`42%d["unsendable answer",%q]`, 10+i, kind), fmt.Sprintf(`42%d["echo",%d]`, 20+i, i))
			c.want(fmt.Sprintf(`43%d[%d]`, 20+i, i)) // and no answer before
			s.handlerSays(t, "failed", "unsendable answer")
		}
		s.handlerSays(t, "8388", "max-frame") // the size, and what bounds it
	}},
	{"O22c", "an emit that only the broker refuses is an error in the log of the handlers, with event, namespace and size", func(t *testing.T, w *world) {
		s := w.with(t, plainHandlers...)
		c := s.connected(t)
		c.send(`421["refused emit"]`, `422["echo",1]`)
		c.want(`431[]`, `432[1]`)
		s.handlerSays(t, "what this instance sent", "too deep", "namespace", "/", "bytes")
	}},
}

// plainHandlers gives these rows handlers of their own, since they look at the log.
var plainHandlers = []string{"--max-frame", "4194304"}

// handlerSays waits until the handlers have written all of the parts, close to each other.
func (s *server) handlerSays(t *testing.T, parts ...string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
	next:
		for line := range strings.Lines(s.handler.Log()) {
			for _, p := range parts {
				if !strings.Contains(line, p) {
					continue next
				}
			}
			return
		}
		if time.Now().After(end) {
			log := s.handler.Log()
			t.Fatalf("the handlers do not say %q:\n%s", parts, log[max(0, len(log)-1500):])
		}
	}
}
