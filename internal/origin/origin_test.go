// SPDX-License-Identifier: Apache-2.0

package origin

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An entry matches the same origin in all its forms, and no look-alike.
func TestOrigins_Lists(t *testing.T) {
	for entry, c := range map[string]struct{ yes, no []string }{
		"https://good.com": {
			yes: []string{"https://good.com", "https://GOOD.com", "HTTPS://good.com", "https://good.com:443"},
			no: []string{
				"http://good.com", "https://good.com:444", "https://good.com.evil.com", "https://evilgood.com", "https://sub.good.com", "https://good.co",
				"https://good.com@evil.com", "https://evil.com/https://good.com", "https://good.com/", "https://good.com/x", "https://good.com?x", "https://good.com:", "https://good.com:0443x",
				"good.com", "null", "", "https://", "https://good.com https://evil.com", "https://good.com,https://evil.com", "https://good.com\x00",
				"https://good.com%2eevil.com", "https://good.com\\.evil.com", "https://*.com", "https://*", "https://gооd.com", "://good.com",
			},
		},
		"http://localhost:8100/":     {yes: []string{"http://localhost:8100"}, no: []string{"http://localhost", "http://localhost:8101", "https://localhost:8100"}},
		"HTTP://LocalHost:080/":      {yes: []string{"http://localhost", "http://localhost:80"}},
		"https://*.example.com":      {yes: []string{"https://a.example.com", "https://A-b_c.example.com:443", "https://xn--bcher-kva.example.com"}, no: []string{"https://example.com", "https://.example.com", "https://a.b.example.com", "http://a.example.com", "https://a.example.com:8443", "https://a.example.com.evil.com", "https://aexample.com", "https://*.example.com.", "https://*.example.com"}},
		"https://*.example.com:8443": {yes: []string{"https://a.example.com:8443"}, no: []string{"https://a.example.com", "https://example.com:8443"}},
		"http://*.localhost:3000":    {yes: []string{"http://app.localhost:3000"}, no: []string{"http://localhost:3000"}},
		"https://Bücher.example":     {yes: []string{"https://xn--bcher-kva.example"}, no: []string{"https://bücher.example", "https://bucher.example"}},
		"https://*.bücher.example":   {yes: []string{"https://a.xn--bcher-kva.example"}},
		"http://[0:0::1]:8100":       {yes: []string{"http://[::1]:8100", "http://[0:0:0:0:0:0:0:1]:8100"}, no: []string{"http://[::2]:8100", "http://::1:8100"}},
		"http://127.0.0.1":           {yes: []string{"http://127.0.0.1:80"}, no: []string{"http://127.0.0.2", "http://x.127.0.0.1"}},
		"capacitor://localhost":      {yes: []string{"capacitor://localhost"}, no: []string{"http://localhost", "ionic://localhost"}},
		"chrome-extension://abcdef":  {yes: []string{"chrome-extension://abcdef"}, no: []string{"chrome-extension://abcdeg"}},
		"null":                       {yes: []string{"null"}, no: []string{"NULL", "file://", "https://null"}},
		"file://":                    {yes: []string{"file://"}, no: []string{"null", "file:///x", "file://x"}},
	} {
		o, err := ParseOrigins([]string{entry})
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		for _, header := range c.yes {
			if !o.Lists(header) {
				t.Errorf("%s does not match %s", entry, header)
			}
		}
		for _, header := range c.no {
			if o.Lists(header) {
				t.Errorf("%s matches %s", entry, header)
			}
		}
	}
}

// What could never match, or would match more than was meant, is refused with the entry and what is
// wrong.
func TestParseOrigins_Err(t *testing.T) {
	for entry, want := range map[string]string{
		"example.com": "scheme is missing", "*.example.com": "scheme is missing", "*.com": "scheme is missing", "localhost:8100": "scheme is missing",
		"//example.com": "scheme is missing", "https:/example.com": "scheme is missing", "Nul": "scheme is missing",
		"https://example.com/path": "no path", "https://example.com//": "no path", "https://example.com/?x": "no query", "https://example.com?x": "no query",
		"https://example.com#x": "no query", "https://user:secret@example.com": "no user", "https://": "host is missing", "https:///": "host is missing",
		"https://*": "match every host", "https://*/": "match every host", "https://*:8443": "match every host", "https://*.com": "every name under com",
		"https://*.com:8443": "every name under com", "https://*.*.example.com": "first label", "https://a.*.example.com": "first label", "https://a*.example.com": "first label",
		"https://*example.com": "first label", "https://**.example.com": "first label", "https://*.127.0.0.1": "before an address", "https://*.[::1]": "before an address",
		"https://example.com:": "port", "https://example.com:x": "port", "https://example.com:0": "port", "https://example.com:65536": "port", "https://example.com:-1": "port",
		"https://exa mple.com": "signs", "https://example..com": "signs", "https://.example.com": "signs", "https://example.com\\": "signs", "https://%65xample.com": "signs",
		"https://::1": "brackets", "https://[::1": "brackets", "https://[::x]": "no IPv6", "https://[127.0.0.1]": "no IPv6", "https://[fe80::1%25eth0]": "no IPv6", "https://[::1]x": "signs",
		"https://127.1": "IPv4", "https://1.2.3.999": "IPv4", "https://0x7f000001": "IPv4",
		"wss://example.com": "https://", "ws://example.com": "http://", "file:///index.html": "file:// or null", "1http://x": "no scheme", "javascript:alert(1)": "scheme is missing",
	} {
		_, err := ParseOrigins([]string{"https://fine.example", entry, "https://fine.example/bad"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+strings.ReplaceAll(entry, `\`, `\\`)+`"`) ||
			!strings.Contains(err.Error(), "fine.example/bad") {
			t.Errorf("%s: %v, want %s", entry, err, want)
		}
	}
}

func TestOrigins_Any(t *testing.T) {
	o, err := ParseOrigins([]string{"*"})
	if err != nil || !o.Any() || o.Some() || o.Lists("null") || o.Lists("https://a.example") {
		t.Errorf("%+v, %v", o, err)
	}
	if o, _ = ParseOrigins([]string{"null"}); o.Any() || !o.Some() {
		t.Errorf("%+v", o)
	}
}

// The origin of a page is the same in all its forms.
func TestOf(t *testing.T) {
	for want, all := range map[string][][2]string{
		"https://a.example:443":  {{"https", "a.example"}, {"HTTPS", "A.example:443"}},
		"http://a.example:80":    {{"http", "a.example"}, {"http", "a.example:80"}},
		"http://a.example.:80":   {{"http", "a.example."}},
		"http://[::1]:80":        {{"http", "[::1]"}, {"http", "[0:0::1]:80"}},
		"":                       {{"http", ""}, {"http", "a b"}, {"http", "::1"}, {"http", "a:b:c"}, {"http", "[::1]x"}, {"http", "]["}, {"http", "a:99999"}},
		"app://a.example":        {{"app", "a.example"}},
		"http://my_app.test:123": {{"http", "my_app.test:0123"}},
	} {
		for _, of := range all {
			if got := Of(of[0], of[1]); got != want {
				t.Errorf("%q is %q, want %q", of, got, want)
			}
			if got, ok := Normal(of[0] + "://" + of[1]); ok != (want != "") || got != want {
				t.Errorf("%q: normal is %q, want %q", of, got, want)
			}
		}
	}
}

// A host matches in all its forms, at every port unless the entry names one.
func TestHosts_Match(t *testing.T) {
	for entry, c := range map[string]struct{ yes, no []string }{
		"app.example.com": {
			yes: []string{"http://app.example.com", "http://APP.example.com", "https://app.example.com:8443", "http://app.example.com.", "http://app.example.com.:80"},
			no: []string{
				"http://example.com", "http://evil.com", "http://app.example.com.evil.com", "http://evilapp.example.com", "http://x.app.example.com", "http://",
				"http://app.example.com..", "http://127.0.0.1", "http://app.example.com@evil.com", "http://app.example.com:x", "http://app.example.com, evil.com",
			},
		},
		"App.Example.Com.:8443": {yes: []string{"http://app.example.com:8443", "https://app.example.com.:8443"}, no: []string{"https://app.example.com", "http://app.example.com:80"}},
		"app.example.com:443":   {yes: []string{"https://app.example.com", "http://app.example.com:443"}, no: []string{"http://app.example.com"}},
		"*.example.com":         {yes: []string{"http://a.example.com", "http://a.example.com:5000"}, no: []string{"http://example.com", "http://a.b.example.com", "http://.example.com"}},
		"*.example.com:5000":    {yes: []string{"http://a.example.com:5000"}, no: []string{"http://a.example.com", "http://a.example.com:5001"}},
		"[::1]":                 {yes: []string{"http://[::1]", "http://[0:0::1]:5000"}, no: []string{"http://::1", "http://[::2]"}},
		"[0:0::1]:5000":         {yes: []string{"http://[::1]:5000"}, no: []string{"http://[::1]"}},
		"127.0.0.1":             {yes: []string{"http://127.0.0.1:5000"}, no: []string{"http://127.0.0.2", "http://localhost"}},
		"bücher.example":        {yes: []string{"http://xn--bcher-kva.example"}},
		"*":                     {yes: []string{"http://anything", "http://"}},
	} {
		hosts, err := ParseHosts([]string{entry})
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		match := func(url string) bool {
			scheme, host, _ := strings.Cut(url, "://")
			return hosts.Match(scheme, host)
		}
		for _, url := range c.yes {
			if !match(url) {
				t.Errorf("%s does not match %s", entry, url)
			}
		}
		for _, url := range c.no {
			if match(url) {
				t.Errorf("%s matches %s", entry, url)
			}
		}
	}
}

func TestParseHosts_Err(t *testing.T) {
	for entry, want := range map[string]string{
		"https://example.com": "no scheme", "example.com/": "no path", "user@example.com": "no user", "example.com:": "port", "*.com": "every name under com",
		"a.*.com": "first label", "*:80": "first label", ":80": "host is missing", "::1": "brackets", "1.2.3": "IPv4", "a b": "signs",
	} {
		if _, err := ParseHosts([]string{entry}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), entry) {
			t.Errorf("%s: %v, want %s", entry, err, want)
		}
	}
}

func TestIsAddress(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "192.0.2.7:5001", "[::1]:5001", "[2001:db8::1]", "localhost", "LOCALHOST:5001", "localhost."} {
		if !IsAddress(host) {
			t.Errorf("%s is no address", host)
		}
	}
	for _, host := range []string{"", "example.com", "127.0.0.1.example.com", "localhost.example.com", "127.1", "::1", "a.localhost"} {
		if IsAddress(host) {
			t.Errorf("%s is an address", host)
		}
	}
}
