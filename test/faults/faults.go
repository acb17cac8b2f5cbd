// SPDX-License-Identifier: Apache-2.0

// Package faults holds tests of what happens when processes die, stop, stop reading, or are cut off
// from each other: the built broker, real handlers, real connections. Hundreds of browsers emit
// numbered events and count their acks, handlers write down what they handled, and in the end the
// books must agree. There is no code here but in the tests, and in the handlers under handler.
package faults
