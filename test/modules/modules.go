// SPDX-License-Identifier: Apache-2.0

// Package modules holds tests of the three Go modules as programs outside this repository see them:
// what depends on the SDK and nothing else, and what installs a release of the broker. All code is
// in the tests.
package modules
