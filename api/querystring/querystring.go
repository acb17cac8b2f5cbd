// SPDX-License-Identifier: Apache-2.0

// Package querystring parses the query of a browser's request. The broker and the Go SDK use it,
// the Python SDK does the same, and testdata/vectors/queries.json holds the cases. The rules are
// those of Node's module querystring, which the reference server uses: it drops no pair, and leaves
// a malformed escape as written. The standard library drops such pairs.
package querystring

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Parse parses a raw query, without its question mark. A key without "=" has the value "". Bytes
// that are not UTF-8 become U+FFFD.
func Parse(raw string) url.Values {
	values := make(url.Values)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key = Unescape(key)
		values[key] = append(values[key], Unescape(value))
	}
	return values
}

// Unescape decodes one key or value of a query: "+" is a space, "%41" is "A", and "%" without two
// hexadecimal digits is itself. Bytes that are not UTF-8 become U+FFFD.
func Unescape(text string) string { return valid(UnescapeBytes(text)) }

// UnescapeBytes is Unescape, but keeps bytes that are not UTF-8.
func UnescapeBytes(text string) string {
	if !strings.ContainsAny(text, "+%") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			out = append(out, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// valid replaces each longest incomplete character by one U+FFFD, as Node and Python do.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 {
			size = brokenLength(text)
		}
		out.WriteRune(r)
		text = text[size:]
	}
	return out.String()
}

// brokenLength returns the length of the incomplete character at the start of the text. It is 1 for
// a byte that starts none.
func brokenLength(text string) int {
	// the range of the second byte, and the number of bytes after the first
	low, high, follow := byte(0x80), byte(0xbf), 0
	switch c := text[0]; {
	case c >= 0xc2 && c <= 0xdf:
		follow = 1
	case c >= 0xe0 && c <= 0xef:
		follow = 2
	case c >= 0xf0 && c <= 0xf4:
		follow = 3
	}
	switch text[0] {
	case 0xe0:
		low = 0xa0
	case 0xed:
		high = 0x9f
	case 0xf0:
		low = 0x90
	case 0xf4:
		high = 0x8f
	}
	n := 1
	for ; n <= follow && n < len(text) && low <= text[n] && text[n] <= high; n++ {
		low, high = 0x80, 0xbf
	}
	return n
}
