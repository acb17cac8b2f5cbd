// SPDX-License-Identifier: Apache-2.0

// Package rows holds the behaviours of a Socket.IO server, one test for each, by sockets that know
// no client library. They run against the built broker with handlers in Go, and again with handlers
// in Python: what a browser sees must not depend on the language. A row's name is the number it has
// in the list of behaviours that docs/compatibility.md refers to; the sentence beside it says what
// must hold. X, B and those that begin with R- are of clients that mean harm. O rows are what
// operators meet: services that leave, bursts, exposed listeners, log lines. There is no code here
// but in the tests.
package rows
