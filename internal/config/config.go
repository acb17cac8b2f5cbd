// SPDX-License-Identifier: Apache-2.0

// Package config is the mechanism of settings: it reads them from flags, from the environment and
// from a file, checks them, and writes their reference. It declares none: each package that has
// options declares their settings in a method Settings, in a file settings.go beside the options,
// and internal/broker puts them together. A declaration is the only place of a setting's name,
// default, meaning and checks.
package config

import "strings"

// Setting is one declared setting, tied to a field of some options. Its name leads to its flag, its
// variable and its key in the file.
type Setting struct {
	Name  string // "ping-interval"
	Group string
	Doc   string // one or two sentences

	value  value
	target any    // the pointer to the field
	preset func() // sets the default
	unset  func() bool
	check  func() error // nil when every value is valid
	file   *string      // the path of the file that may hold the value; nil when it is no secret
}

// The groups of settings, in the order of the documentation.
const (
	Listeners  = "Listeners"
	Transports = "Browsers: transports"
	SocketIO   = "Browsers: Socket.IO"
	Handlers   = "Handlers"
	Cluster    = "Cluster"
	Process    = "Process"
)

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

// Kind is how the value is written: "duration", "size", "number", "switch", "text" or "list".
func (s *Setting) Kind() string { return s.value.kind() }

// Sets tells whether the setting is tied to the field at p.
func (s *Setting) Sets(p any) bool { return s.target == p }

// Group puts the settings into a group of the documentation, each secret followed by the setting
// that names its file.
func Group(name string, settings ...Setting) (all []Setting) {
	for _, s := range settings {
		s.Group = name
		all = append(all, s)
		if s.file != nil {
			all = append(all, s.fromFile())
		}
	}
	return all
}

// Preset sets every setting to its default.
func Preset(settings []Setting) {
	for _, s := range settings {
		s.preset()
	}
}

// Complete sets every setting that has the zero value of its type to its default; options whose
// zero fields take their defaults use it. It leaves switches alone, and those for which zero is a
// value of its own.
func Complete(settings []Setting) {
	for _, s := range settings {
		if s.unset != nil && s.unset() {
			s.preset()
		}
	}
}

// Check finds all values that make no sense, and says for each what to change.
func Check(settings []Setting) error {
	var f Faults
	for _, s := range settings {
		if s.check == nil {
			continue
		}
		if err := s.check(); err != nil {
			f.Each(s.Name, err)
		}
	}
	return f.Joined()
}
