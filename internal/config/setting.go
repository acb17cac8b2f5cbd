// SPDX-License-Identifier: Apache-2.0

package config

import "strings"

// Setting is one knob: its name leads to its flag, its variable and its key in the file.
type Setting struct {
	Name  string // "ping-interval"
	Group string
	Doc   string // one or two sentences
	value value
	// secret is where the path of the file stands that may hold the value; nil when the value is no
	// secret.
	secret *string
}

// Flag is how the setting is written on the command line.
func (s *Setting) Flag() string { return "--" + s.Name }

// Env is the setting's environment variable.
func (s *Setting) Env() string {
	return "SPANWIRE_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Key is the setting's key in the configuration file.
func (s *Setting) Key() string { return strings.ReplaceAll(s.Name, "-", "_") }

// Value is the setting's value, as it would be written.
func (s *Setting) Value() string { return s.value.String() }

// Kind tells how the value is written: "duration", "size", "number", "switch", "text" or "list".
func (s *Setting) Kind() string { return s.value.kind() }

// The groups of settings, in the order of the documentation.
const (
	groupListen   = "Listeners"
	groupEngine   = "Browsers: transports"
	groupSocket   = "Browsers: Socket.IO"
	groupServices = "Handlers"
	groupCluster  = "Cluster"
	groupRun      = "Process"
)

// Settings is the table of all knobs, each tied to its field of c. Flags, environment, file and
// documentation are made from it.
func (c *Config) Settings() []Setting {
	var all []Setting
	group := func(name string, settings ...Setting) {
		for _, s := range settings {
			s.Group = name
			all = append(all, s)
			if s.secret != nil {
				all = append(all, s.fromFile())
			}
		}
	}
	group(groupListen, c.Listen.settings()...)
	group(groupEngine, c.Engine.settings()...)
	group(groupSocket, c.Socket.settings()...)
	group(groupServices, c.Services.settings()...)
	group(groupCluster, c.Cluster.settings()...)
	group(groupRun, c.Run.settings()...)
	return all
}
