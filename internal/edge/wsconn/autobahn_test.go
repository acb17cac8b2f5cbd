// SPDX-License-Identifier: Apache-2.0

package wsconn

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func closing(code int, text string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+text)
}

const wide = "Hello-µ@ßöäüàá-UTF-8!!"

// row is what must come back for what is sent.
type row struct {
	name string
	send [][]byte
	want []string
}

func join(b ...[]byte) [][]byte { return b }

var (
	normal   = closing(1000, "")
	protocol = []string{"close 1002", "eof"}
	badUTF8  = []string{"close 1007", "eof"}
)

// autobahn are the cases of the Autobahn test suite, by their numbers, without those on compression
// and those that the test makes. Robustness rows W2, W5, W6, W7.
var autobahn = []row{
	{"2.1 ping", join(frame(0x89, ""), normal), []string{"pong ", "close 1000", "eof"}},
	{"2.2 ping with text", join(frame(0x89, "hi"), normal), []string{"pong hi", "close 1000", "eof"}},
	{"2.4 ping of 125 bytes", join(frame(0x89, strings.Repeat("\xfe", 125)), normal),
		[]string{"pong " + strings.Repeat("\xfe", 125), "close 1000", "eof"}},
	{"2.5 ping of 126 bytes", join(frame(0x89, strings.Repeat("\xfe", 126))), protocol},
	{"2.7 pong unasked", join(frame(0x8a, ""), normal), []string{"close 1000", "eof"}},
	{"2.9 pong unasked, ping", join(frame(0x8a, "x"), frame(0x89, "y"), normal), []string{"pong y", "close 1000", "eof"}},
	{"3.1 rsv3", join(frame(0x91, "x")), protocol},
	{"3.2 rsv2 after text", join(frame(0x81, "ok"), frame(0xa1, "x")), []string{"text ok", "close 1002", "eof"}},
	{"3.4 rsv1", join(frame(0xc1, "x")), protocol},
	{"3.5 rsv on binary", join(frame(0xd2, "x")), protocol},
	{"3.6 rsv on ping", join(frame(0xe9, "x")), protocol},
	{"3.7 rsv on close", join(frame(0xf8, "x")), protocol},
	{"4.1.1 opcode 3", join(frame(0x83, "")), protocol},
	{"4.1.3 opcode 5 after text", join(frame(0x81, "ok"), frame(0x85, "")), []string{"text ok", "close 1002", "eof"}},
	{"4.1.5 opcode 7", join(frame(0x87, "x")), protocol},
	{"4.2.1 opcode 11", join(frame(0x8b, "")), protocol},
	{"4.2.5 opcode 15", join(frame(0x8f, "x")), protocol},
	{"5.1 fragmented ping", join(frame(0x09, "a"), frame(0x80, "b")), protocol},
	{"5.3 two fragments", join(frame(0x01, "fra"), frame(0x80, "gment")), []string{"text fragment"}},
	{"5.5 two fragments in bytes", bytewise(append(frame(0x01, "fra"), frame(0x80, "gment")...)), []string{"text fragment"}},
	{"5.6 ping between fragments", join(frame(0x01, "a"), frame(0x89, "p"), frame(0x80, "b"), normal),
		[]string{"pong p", "text ab", "close 1000", "eof"}},
	{"5.9 continuation without start", join(frame(0x80, "x"), frame(0x81, "y")), protocol},
	{"5.12 open continuation without start", join(frame(0x00, "x"), frame(0x81, "y")), protocol},
	{"5.15 text, stray continuation", join(frame(0x01, "a"), frame(0x80, "b"), frame(0x00, "c")), []string{"text ab", "close 1002", "eof"}},
	{"5.18 text within text", join(frame(0x01, "a"), frame(0x81, "b")), protocol},
	{"6.1.1 empty text", join(frame(0x81, "")), []string{"text "}},
	{"6.1.2 empty fragments", join(frame(0x01, ""), frame(0x00, ""), frame(0x80, "")), []string{"text "}},
	{"6.1.3 text in the middle of empty fragments", join(frame(0x01, ""), frame(0x00, "m"), frame(0x80, "")), []string{"text m"}},
	{"6.2.1 wide characters", join(frame(0x81, wide)), []string{"text " + wide}},
	{"6.2.2 split between characters", join(frame(0x01, "Hello-µ@ßöä"), frame(0x80, "üàá-UTF-8!!")), []string{"text " + wide}},
	{"6.2.3 split everywhere", fragments(wide), []string{"text " + wide}},
	{"6.3.1 invalid", join(frame(0x81, "κόσμε\xed\xa0\x80edited")), badUTF8},
	{"6.3.2 invalid in fragments", fragments("κόσμε\xed\xa0\x80edited"), badUTF8},
	{"6.4.1 fails early", join(frame(0x01, "κόσμε\xf4\x90\x80\x80"), frame(0x00, "edited")), badUTF8},
	{"6.6.2 half a character", join(frame(0x81, "\xce")), badUTF8},
	{"6.6.3 half a character, then the rest", join(frame(0x01, "\xce"), frame(0x80, "\xba")), []string{"text κ"}},
	{"6.8.1 first of five", join(frame(0x81, "\xf8\x88\x80\x80\x80")), badUTF8},
	{"6.9.4 last code point", join(frame(0x81, "\xf4\x8f\xbf\xbf")), []string{"text \xf4\x8f\xbf\xbf"}},
	{"6.10.3 last of six bytes", join(frame(0x81, "\xfd\xbf\xbf\xbf\xbf\xbf")), badUTF8},
	{"6.12.1 lonely continuation", join(frame(0x81, "\x80")), badUTF8},
	{"6.14.1 lonely starts", join(frame(0x81, "\xc0 \xc1 ")), badUTF8},
	{"6.17.1 overlong", join(frame(0x81, "\xc0\xaf")), badUTF8},
	{"6.20.1 surrogate", join(frame(0x81, "\xed\xa0\x80")), badUTF8},
	{"6 invalid UTF-8 is fine as binary", join(frame(0x82, "\xce\xff")), []string{"binary \xce\xff"}},
	{"7.1.1 close after text", join(frame(0x81, "x"), normal), []string{"text x", "close 1000", "eof"}},
	{"7.1.2 two closes", join(normal, normal), []string{"close 1000", "eof"}},
	{"7.1.3 ping after close", join(normal, frame(0x89, "")), []string{"close 1000", "eof"}},
	{"7.1.4 text after close", join(normal, frame(0x81, "x")), []string{"close 1000", "eof"}},
	{"7.1.5 fragment, close, rest", join(frame(0x01, "a"), normal, frame(0x80, "b")), []string{"close 1000", "eof"}},
	{"7.3.1 close without body", join(frame(0x88, "")), []string{"close", "eof"}},
	{"7.3.2 close with one byte", join(frame(0x88, "x")), protocol},
	{"7.3.2 close with one byte after other frames",
		join(frame(0x81, "abc"), frame(0x89, "abc"), frame(0x8a, "a"), frame(0x01, ""), frame(0x80, "z"), frame(0x88, "x")),
		[]string{"text abc", "pong abc", "text z", "close 1002", "eof"}},
	{"7.3.1 close without body after other frames",
		join(frame(0x81, "abc"), frame(0x89, "abc"), frame(0x8a, "a"), frame(0x01, ""), frame(0x80, "z"), frame(0x88, "")),
		[]string{"text abc", "pong abc", "text z", "close", "eof"}},
	{"7.3.4 close with a reason", join(closing(1000, "Hello World!")), []string{"close 1000", "eof"}},
	{"7.3.5 close with the longest reason", join(closing(1000, strings.Repeat("*", 123))), []string{"close 1000", "eof"}},
	{"7.3.6 close with a longer reason", join(closing(1000, strings.Repeat("*", 124))), protocol},
	{"7.5.1 close with an invalid reason", join(closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")), protocol},
	{"9.1.1 64 KiB", join(frame(0x81, strings.Repeat("*", 64<<10))), []string{"text " + strings.Repeat("*", 64<<10)}},
	{"9.2.3 1 MB", join(frame(0x82, strings.Repeat("\xfe", 1_000_000))), []string{"binary " + strings.Repeat("\xfe", 1_000_000)}},
	{"9.3 64 KiB in fragments of 1 KiB", pieces(strings.Repeat("*", 64<<10), 1<<10), []string{"text " + strings.Repeat("*", 64<<10)}},
	{"2 unmasked", join([]byte{0x81, 1, 'x'}), protocol},
	{"2 unmasked close", join([]byte{0x88, 0}), protocol},
}

// Every case of the suite ends as it asks.
func TestConn_Autobahn(t *testing.T) {
	rows := slices.Clone(autobahn)
	for _, n := range []int{0, 125, 126, 127, 128, 511, 512, 513, 4095, 4096, 4097, 8192, 65535, 65536} {
		for first, kind := range map[byte]string{0x81: "text ", 0x82: "binary "} {
			s := strings.Repeat("x", n)
			rows = append(rows, row{fmt.Sprintf("1 %sof %d", kind, n), join(frame(first, s)), []string{kind + s}})
		}
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		rows = append(rows, row{fmt.Sprint("7.7 code ", code), join(closing(code, "")), []string{fmt.Sprint("close ", code), "eof"}})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rows = append(rows, row{fmt.Sprint("7.9 code ", code), join(closing(code, "")), protocol})
	}
	address := serve(t, Options{MaxOutbound: 16 << 20}, echo)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p, _ := dial(t, address)
			p.send(r.send...)
			p.want(r.want...)
		})
	}
}

// 2.10: ten pings are answered in order, whether they come one by one or together.
func TestConn_AutobahnPings(t *testing.T) {
	address := serve(t, Options{}, echo)
	for _, together := range []bool{false, true} {
		p, _ := dial(t, address)
		var all []byte
		var want []string
		for i := range 10 {
			f := frame(0x89, fmt.Sprint("payload-", i))
			if together {
				all = append(all, f...)
			} else {
				p.send(f)
			}
			want = append(want, fmt.Sprint("pong payload-", i))
		}
		p.send(all)
		p.want(want...)
	}
}

func bytewise(b []byte) [][]byte {
	var all [][]byte
	for i := range b {
		all = append(all, b[i:i+1])
	}
	return all
}

func fragments(s string) [][]byte { return pieces(s, 1) }

func pieces(s string, size int) [][]byte {
	var all [][]byte
	for i := 0; i < len(s); i += size {
		first, end := byte(0x00), min(i+size, len(s))
		if i == 0 {
			first = 0x01
		}
		if end == len(s) {
			first |= 0x80
		}
		all = append(all, frame(first, s[i:end]))
	}
	return all
}
