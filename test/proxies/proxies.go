// SPDX-License-Identifier: Apache-2.0

// Package proxies runs the proxy configurations of deploy/proxy with the real programs, on ports
// that are nobody's default: the published client connects through each as a page of the proxy's
// origin does, by every transport, with and without TLS. There is no code here but in the tests.
package proxies
