// SPDX-License-Identifier: Apache-2.0

// Package origin reads origins of pages ("https://app.example.com") and hosts of requests
// ("app.example.com:8443"), and matches them with the entries of settings. One parser serves the
// check of a setting and its use, so that no entry is accepted which can never match.
package origin

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Any is the entry that matches everything.
const Any = "*"

// wildcard is the first label of an entry that matches any one label in its place.
const wildcard = "*"

// host is a host in normal form: lower case, Punycode, addresses in their shortest form, IPv6 in
// brackets.
type host struct {
	name string
	port string // empty when none was given
}

var (
	errEmpty    = errors.New("the host is missing")
	errBrackets = errors.New("an IPv6 address needs brackets, like [::1]")
	errIPv6     = errors.New("what stands in brackets is no IPv6 address")
	errIPv4     = errors.New("a host that ends in a number must be an IPv4 address in its usual form")
	errSigns    = errors.New("the host has signs that no host has")
	errPort     = errors.New("the port is not a number from 1 to 65535")
)

// parseHost reads a host with its port, if it has one.
func parseHost(text string) (h host, err error) {
	var (
		name, port string
		hasPort    bool
	)
	if end := strings.IndexByte(text, ']'); strings.HasPrefix(text, "[") && end > 0 {
		name, port = text[:end+1], text[end+1:]
		if port != "" && port[0] != ':' {
			return host{}, errSigns
		}
		port, hasPort = strings.CutPrefix(port, ":")
	} else if strings.Count(text, ":") > 1 {
		return host{}, errBrackets
	} else {
		name, port, hasPort = strings.Cut(text, ":")
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return host{}, errPort
		}
		h.port = strconv.FormatUint(n, 10)
	}
	h.name, err = normalName(name)
	return h, err
}

const (
	longestName  = 253
	longestLabel = 63
)

// isLabel tells whether the text may stand between the dots of a name. Underscores do in names that
// browsers open.
func isLabel(text string) bool {
	return text != "" && len(text) <= longestLabel &&
		!strings.ContainsFunc(text, func(r rune) bool { return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
}

// international allows names in any script, and makes them Punycode as browsers do.
var international = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// normalName writes the name of a host in normal form. It keeps a dot at the end.
func normalName(name string) (string, error) {
	if name == "" {
		return "", errEmpty
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", errIPv6
		}
		return "[" + a.String() + "]", nil
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) {
		ascii, err := international.ToASCII(name)
		if err != nil {
			return "", errSigns
		}
		name = ascii
	}
	name = strings.ToLower(name)
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return a.String(), nil
	}
	bare := strings.TrimSuffix(name, ".")
	if len(bare) > longestName {
		return "", errSigns
	}
	last := bare
	for part := range strings.SplitSeq(bare, ".") {
		if !isLabel(part) {
			return "", errSigns
		}
		last = part
	}
	if isNumber(last) {
		return "", errIPv4
	}
	return name, nil
}

// isNumber tells whether browsers take a host that ends in the label for an IPv4 address.
func isNumber(label string) bool {
	if digits, hex := strings.CutPrefix(label, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// parseWildcard reads a host that may begin with a wildcard, in an entry of a setting.
func parseWildcard(text string) (host, error) {
	rest, wild := strings.CutPrefix(text, wildcard+".")
	if strings.Contains(rest, wildcard) {
		return host{}, errors.New("a wildcard stands for the whole first label alone, like *.example.com")
	}
	h, err := parseHost(rest)
	if err != nil || !wild {
		return h, err
	}
	switch _, err := netip.ParseAddr(strings.Trim(h.name, "[]")); {
	case err == nil:
		return host{}, errors.New("a wildcard cannot stand before an address")
	case !strings.Contains(strings.TrimSuffix(h.name, "."), ".") && h.name != "localhost":
		return host{}, fmt.Errorf("it would match every name under %s; write at least two labels after the wildcard, like *.example.com", h.name)
	}
	h.name = wildcard + "." + h.name
	return h, nil
}

// wild is the entry that matches the name by its wildcard; ok is false for addresses and names of
// one label.
func wild(name string) (entry string, ok bool) {
	_, rest, ok := strings.Cut(name, ".")
	if !ok || rest == "" || strings.HasPrefix(name, "[") {
		return "", false
	}
	return wildcard + "." + rest, true
}

// defaultPort is the port that a URL of the scheme means when it names none.
func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// Scheme is that of pages that came by TLS, or not.
func Scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}
