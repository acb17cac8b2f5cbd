// SPDX-License-Identifier: Apache-2.0

// Package e2e holds tests of the built broker over its wires: bad input at every entry point, by
// sockets that no client library keeps from being rude. Each must be answered or closed as it
// should, be counted on the operators' listener, and do no harm to the client that talks on
// meanwhile. There is no code here but in the tests.
package e2e
