// SPDX-License-Identifier: Apache-2.0

// Package gosdk holds tests of the Go SDK against the built broker. They build the broker, which
// the SDK's own module must not require. All code is in the tests.
package gosdk
