// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Null is the Origin of pages that have none: from files, in sandboxed frames.
const Null = "null"

// filePage is the Origin that some embedded browsers send for pages from files; others send Null.
const filePage = "file://"

// Origins matches the Origin of requests with the entries of a setting.
type Origins struct {
	any     bool
	null    bool
	allowed map[string]bool // in normal form, some with a wildcard
}

// ParseOrigins reads the entries. An error names each that is wrong, and says what is wrong with
// it.
func ParseOrigins(entries []string) (*Origins, error) {
	o := &Origins{allowed: make(map[string]bool)}
	var faults []error
	for _, entry := range entries {
		normal, err := parseEntry(entry)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%q is no origin: %w", entry, err))
		case normal == Any:
			o.any = true
		case normal == Null:
			o.null = true
		default:
			o.allowed[normal] = true
		}
	}
	return o, errors.Join(faults...)
}

// Any tells whether all origins match.
func (o *Origins) Any() bool { return o.any }

// Some tells whether there is an entry besides Any.
func (o *Origins) Some() bool { return o.null || len(o.allowed) > 0 }

// Lists tells whether an entry besides Any matches the Origin of a request.
func (o *Origins) Lists(header string) bool {
	if header == Null {
		return o.null
	}
	scheme, h, err := parseHeader(header)
	if err != nil {
		return false
	}
	if o.allowed[join(scheme, h)] {
		return true
	}
	if h.name, _ = wild(h.name); h.name == "" {
		return false
	}
	return o.allowed[join(scheme, h)]
}

// Normal writes the Origin of a request in normal form; ok is false when it is none, like "null".
func Normal(header string) (normal string, ok bool) {
	scheme, h, err := parseHeader(header)
	if err != nil {
		return "", false
	}
	return join(scheme, h), true
}

// Of is the origin, in normal form, of pages that come by the scheme from the host, which may have
// a port. It is empty when the host is none.
func Of(scheme, hostport string) string {
	h, err := parseHost(hostport)
	if err != nil {
		return ""
	}
	return join(strings.ToLower(scheme), h)
}

func join(scheme string, h host) string {
	if h.port == "" {
		h.port = defaultPort(scheme)
	}
	if h.port != "" {
		h.port = ":" + h.port
	}
	return scheme + "://" + h.name + h.port
}

var validScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)

// parseHeader reads the Origin of a request.
func parseHeader(text string) (scheme string, h host, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok || !validScheme.MatchString(scheme):
		return "", host{}, errors.New("the scheme is missing; write https://host")
	case text == filePage:
		return scheme, host{}, nil
	case strings.ContainsFunc(text, func(r rune) bool { return r > '~' }):
		return "", host{}, errSigns // browsers send Punycode
	}
	h, err = parseHost(rest)
	return scheme, h, err
}

// parseEntry reads one entry of a setting, into normal form.
func parseEntry(entry string) (normal string, err error) {
	if lower := strings.ToLower(entry); lower == Any || lower == Null || lower == filePage {
		return lower, nil
	}
	scheme, rest, ok := strings.Cut(entry, "://")
	scheme, rest = strings.ToLower(scheme), strings.TrimSuffix(rest, "/")
	switch {
	case !ok:
		return "", errors.New("the scheme is missing; write https://host or https://host:port, * for all, or null for pages without an origin")
	case !validScheme.MatchString(scheme):
		return "", fmt.Errorf("%q is no scheme; write https://host", scheme)
	case scheme == "ws" || scheme == "wss":
		return "", fmt.Errorf("a page comes by http or https also where it opens a WebSocket; write http%s://", strings.TrimPrefix(scheme, "ws"))
	case scheme == "file":
		return "", errors.New("pages from files have no host; write file:// or null, whichever their browser sends")
	case rest == wildcard || strings.HasPrefix(rest, wildcard+":"):
		return "", errors.New("a wildcard alone would match every host; write * for all origins, or https://*.example.com")
	case strings.ContainsAny(rest, "@"):
		return "", errors.New("an origin has no user or password")
	case strings.ContainsAny(rest, "?#"):
		return "", errors.New("an origin has no query or fragment")
	case strings.Contains(rest, "/"):
		return "", errors.New("an origin has no path")
	}
	h, err := parseWildcard(rest)
	if err != nil {
		return "", err
	}
	return join(scheme, h), nil
}
