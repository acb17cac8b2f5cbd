// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Rules that a declaration gives its setting, and the Faults that checks of whole options collect.

// Positive is a rule for times that must not be zero.
func Positive(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%v is too short; it must be more than zero", d)
	}
	return nil
}

// NotNegative makes a rule for times that may be zero; zero says what that means.
func NotNegative(zero string) func(time.Duration) error {
	return func(d time.Duration) error {
		if d < 0 {
			return fmt.Errorf("%v is negative; %s", d, zero)
		}
		return nil
	}
}

// WholeSeconds is a rule for times that are sent as seconds.
func WholeSeconds(d time.Duration) error {
	if d < 0 || d%time.Second != 0 {
		return fmt.Errorf("%v is not a whole number of seconds", d)
	}
	return nil
}

// AtLeast makes a rule for numbers and sizes.
func AtLeast(least int64) func(int64) error {
	return func(n int64) error {
		if n < least {
			return fmt.Errorf("%d is too small; it must be at least %d", n, least)
		}
		return nil
	}
}

// Between makes a rule for numbers with two bounds.
func Between(least, most int64) func(int64) error {
	return func(n int64) error {
		if n < least || n > most {
			return fmt.Errorf("%d is not between %d and %d", n, least, most)
		}
		return nil
	}
}

// OneOf makes a rule for texts from a closed list.
func OneOf(known ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(known, v) {
			return fmt.Errorf("%q is not known; choose one of %s", v, strings.Join(known, ", "))
		}
		return nil
	}
}

// Each makes a rule for lists from one for their items.
func Each[E ~string](r func(string) error) func([]E) error {
	return func(items []E) error {
		var all []error
		for _, item := range items {
			all = append(all, r(string(item)))
		}
		return errors.Join(all...)
	}
}

// Address is a rule for addresses to listen on or to dial.
func Address(v string) error {
	_, port, err := net.SplitHostPort(v)
	if _, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil {
		return fmt.Errorf("%q is no address; write host:port, or :port for all interfaces", v)
	}
	return nil
}

// Optional makes a rule that holds unless the text is empty.
func Optional(r func(string) error) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		return r(v)
	}
}

// MinSecret is the length of the shortest secret that is accepted.
const MinSecret = 8

// Guessable tells whether a secret is too short, or has spaces that are easily mistyped.
func Guessable(secret string) bool {
	return len(secret) < MinSecret || strings.ContainsFunc(secret, unicode.IsSpace)
}

// Loopback tells whether only programs on this machine reach an address. What is no address counts,
// since it has a fault of its own.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Faults collects what is wrong with settings.
type Faults []error

// Add notes what is wrong with a setting.
func (f *Faults) Add(setting, format string, args ...any) {
	*f = append(*f, fmt.Errorf("setting %s: %s", setting, fmt.Sprintf(format, args...)))
}

// Each adds the parts of a joined error, one by one.
func (f *Faults) Each(setting string, joined error) {
	for line := range strings.SplitSeq(joined.Error(), "\n") {
		f.Add(setting, "%s", line)
	}
}

// Joined is all of them as one error, or nil.
func (f Faults) Joined() error { return errors.Join(f...) }
