// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// maxNamespace is the longest name of a namespace that a broker accepts, in bytes.
const maxNamespace = 255

// check returns the error of a command that every broker would reject. A frame with text that is
// not UTF-8 would even end the stream.
func (c *command) check() error {
	if c.kind == commandOther {
		if _, err := proto.Marshal(c.rare); err != nil {
			return fmt.Errorf("spanwire: a name is not valid UTF-8: %w", err)
		}
		if m := c.rare.GetServerSideEmit(); m != nil {
			return checkNamespace(m.GetNamespace())
		}
		return nil
	}
	if !utf8.ValidString(c.event) {
		return fmt.Errorf("spanwire: the event name %q is not valid UTF-8", c.event)
	}
	for _, list := range [...][]string{c.rooms, c.target.rooms, c.target.except} {
		for _, room := range list {
			if !utf8.ValidString(room) {
				return fmt.Errorf("spanwire: the room name %q is not valid UTF-8", room)
			}
		}
	}
	if c.target.pattern {
		return nil // the pattern compiled
	}
	return checkNamespace(c.target.namespace)
}

// checkNamespace returns why a namespace cannot have the name.
func checkNamespace(name string) error {
	switch {
	case name == "" || name == mainNamespace:
		return nil
	case !utf8.ValidString(name):
		return fmt.Errorf("spanwire: the namespace %q is not valid UTF-8", name)
	case name[0] != '/' || strings.ContainsRune(name, ',') || len(name) > maxNamespace:
		return fmt.Errorf("spanwire: the namespace %q must begin with a slash, have no comma and at most %d bytes", name[:min(len(name), maxNamespace)],
			maxNamespace)
	}
	return nil
}
