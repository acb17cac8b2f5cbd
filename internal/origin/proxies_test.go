// SPDX-License-Identifier: Apache-2.0

package origin

import "testing"

// An address is trusted in each of its forms when it is in one of the networks, and nothing else
// is.
func TestTrusted(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.2.3:80": true, "10.1.2.3": true, "::ffff:10.1.2.3": true, "[::ffff:10.1.2.3]:80": true, "[fd00::1%eth0]:80": true, "[::1]": true, "192.0.2.1:1": true,
		"11.0.0.1:80": false, "192.0.2.2": false, "[fe80::1]:80": false, "@": false, "": false, "localhost:80": false, "10.1.2.3, 11.0.0.1": false,
	} {
		if got := Trusted(proxies, address); got != want {
			t.Errorf("%q: %v", address, got)
		}
		if Trusted(nil, address) {
			t.Errorf("%q is trusted without a setting", address)
		}
	}
	for _, item := range []string{"localhost", "10.0.0.0/33", "::ffff:10.0.0.1", ""} {
		if _, err := ParseProxies([]string{item}); err == nil {
			t.Errorf("%q is accepted", item)
		}
	}
}
