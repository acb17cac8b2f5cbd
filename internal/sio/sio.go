// SPDX-License-Identifier: Apache-2.0

// Package sio holds the words that every other package speaks: ids, events, targets, registrations,
// results, errors and reasons. It knows no protocol, does no I/O and imports the standard library
// only.
package sio

// Namespace is a separate world of events on one session. It starts with a slash; the main one is
// "/".
type Namespace string

// MainNamespace is the namespace that a client is in when it names none.
const MainNamespace Namespace = "/"

// Room is a named set of sockets in a namespace. Every socket is in the room named by its id.
type Room string

// ServiceName names a kind of handler: its instances share its events.
type ServiceName string

// InstanceID names one handler process, unique in the cluster and kept across its streams.
type InstanceID string
