// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/sio"
)

// A connect of protocol 4 must tell its namespace and its query apart, and the query must become an
// object of texts.
func TestDecoder_Protocol4(t *testing.T) {
	for in, want := range map[string]struct {
		namespace sio.Namespace
		payload   string
	}{
		`0`:                                  {"/", ``},
		`0/custom`:                           {"/custom", ``},
		`0/custom,`:                          {"/custom", ``},
		`0/custom?,`:                         {"/custom", ``},
		`0/custom?token=abc,`:                {"/custom", `{"token":"abc"}`},
		`0/custom?token=abc`:                 {"/custom", `{"token":"abc"}`},
		`0/?token=abc,`:                      {"/", `{"token":"abc"}`},
		`0/custom?b=1&a=2&b=3&&c&=d,`:        {"/custom", `{"":"d","a":"2","b":["1","3"],"c":""}`},
		`0/custom?a%20b=c+d%26%22%2C%C3%A9,`: {"/custom", `{"a b":"c d&\",é"}`},
		`0/custom?a=%ff&b=%zz+x,`:            {"/custom", `{"a":"` + "\ufffd" + `","b":"%zz x"}`},
		`0/custom?a=100%25%&b=x;y,`:          {"/custom", `{"a":"100%%","b":"x;y"}`},
		`0/custom?a=b?c=d,{"x":1}`:           {"/custom", `{"a":"b?c=d"}`},
	} {
		d := newDecoder()
		d.Protocol4 = true
		p, complete, err := d.Text([]byte(in))
		if err != nil || !complete || p.Type != Connect || p.Namespace != want.namespace || string(p.Payload) != want.payload {
			t.Errorf("%s: got %q %q, %v", in, p.Namespace, p.Payload, err)
		}
	}
	d := newDecoder()
	d.Protocol4 = true
	if p, _, err := d.Text([]byte(`0/custom?token=` + strings.Repeat("a", 1000) + `,`)); err != nil || len(p.Payload) < 1000 {
		t.Errorf("a long query: %v", err)
	}
	_, _, err := d.Text([]byte(`0/` + strings.Repeat("n", 255) + `?a=b,`))
	checkVerdict(t, err, "namespace")
}

// Answers to connects of protocol 4 say no id, and refusals have no object around them.
func TestAppend_Protocol4(t *testing.T) {
	for want, got := range map[string][]byte{
		`0`:                   AppendConnect4(nil, "/"),
		`0/custom,`:           AppendConnect4(nil, "/custom"),
		`4"a\"b"`:             AppendConnectError4(nil, "/", `a"b`, nil),
		`4/custom,{"code":1}`: AppendConnectError4(nil, "/custom", "no", []byte(`{"code":1}`)),
	} {
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
