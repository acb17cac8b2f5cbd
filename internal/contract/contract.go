// SPDX-License-Identifier: Apache-2.0

// Package contract translates between the types of sio and the messages of spanwire.v1, in both
// directions. Package bridge uses it for handlers and callers, package backplane for replicas, so
// that a field of the contract is written and read in one place.
//
// Functions named XToProto and XFromProto only translate. They accept every message: what a handler
// or a caller may send is for the functions named CheckX, which their entry points call. The frames
// that come with every event are written by hand in package bridge, and do not pass through here.
//
// Results share the byte slices of their arguments.
package contract

import (
	"strings"
	"time"

	"github.com/spanwire/spanwire/internal/sio"
)

// ToStrings converts names to plain strings. It returns nil for an empty list.
func ToStrings[S ~string](names []S) []string {
	if len(names) == 0 {
		return nil
	}
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = string(n)
	}
	return all
}

// FromStrings converts plain strings to names. It returns nil for an empty list.
func FromStrings[S ~string](list []string) []S {
	if len(list) == 0 {
		return nil
	}
	all := make([]S, len(list))
	for i, s := range list {
		all[i] = S(s)
	}
	return all
}

// NamespaceFromProto reads the name of a namespace. An empty name means the main namespace.
func NamespaceFromProto(s string) sio.Namespace {
	if s == "" {
		return sio.MainNamespace
	}
	return sio.Namespace(s)
}

// ValidText replaces what is not UTF-8, since browsers write any bytes into headers and strings of
// protobuf are UTF-8.
func ValidText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// MillisecondsToProto writes a duration in milliseconds. Durations over 24 days become 24 days.
func MillisecondsToProto(d time.Duration) uint32 { return uint32(min(d.Milliseconds(), 1<<31)) }

// MillisecondsFromProto reads a duration in milliseconds.
func MillisecondsFromProto(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }
