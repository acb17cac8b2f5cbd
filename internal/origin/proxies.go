// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Proxies in front of the broker: which are trusted, and the address of a browser behind them. The
// edge and the listeners ask.

// ParseProxies reads the setting trusted-proxies: addresses and networks. A lone address is a
// network of one.
func ParseProxies(items []string) (networks []netip.Prefix, err error) {
	for _, item := range items {
		p, err := netip.ParsePrefix(item)
		if a, addrErr := netip.ParseAddr(item); addrErr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a network; write 192.0.2.1 or 10.0.0.0/8", item)
		}
		networks = append(networks, p)
	}
	return networks, nil
}

// Trusted tells whether an address, with a port or without, is that of a trusted proxy.
func Trusted(proxies []netip.Prefix, address string) bool {
	if len(proxies) == 0 {
		return false
	}
	a, err := netip.ParseAddr(Address(address))
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Address is an address without its port and brackets, if it has them.
func Address(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
}
