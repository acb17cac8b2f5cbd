// SPDX-License-Identifier: Apache-2.0

// Package differential compares the codec of the browsers' entry point with the parser of the
// JavaScript client, packet by packet: the same verdict and the same values, or a difference that
// is listed with its reason. There is no code here but in the tests.
package differential
