// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the tests that keep the tree in shape: who may import whom, what every
// file begins with, how long things may get, and that what is generated is current. It has no code
// of its own.
package archtest
