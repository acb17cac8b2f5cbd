// SPDX-License-Identifier: Apache-2.0

package engineio

import (
	"regexp"
	"testing"
)

var sessionID = regexp.MustCompile(`"sid":"([^"]+)"`)

// A request that names another revision than its session's must be refused with code 3, on every
// way in, and do the session no harm.
func TestSession_OtherRevision(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.AllowEIO3 = true })
	for own, others := range map[string][]string{
		"EIO=4": {"EIO=3", "EIO=5", "EIO=", "EIO=4&EIO=4", "EIO=x"},
		"EIO=3": {"EIO=4", "EIO=5", "EIO="},
		"":      {"EIO=4"}, // which is revision 3
	} {
		sid := sessionID.FindStringSubmatch(w.do("GET", own+"&transport=polling", "").body)[1]
		for _, other := range others {
			query := other + "&transport=polling&sid=" + sid
			w.want(w.do("GET", query, ""), 400, refused(3, "Bad request"))
			w.want(w.do("POST", query, "4x"), 400, refused(3, "Bad request"))
			if _, response, err := w.dialSocket(other+"&transport=websocket&sid="+sid, nil); err == nil || response.StatusCode != 400 {
				t.Errorf("%q: a WebSocket with %q was taken", own, other)
			}
		}
		// No number names no other revision.
		query := own + "&transport=polling&sid=" + sid
		w.want(w.do("POST", query, map[string]string{"EIO=4": "4x"}[own]+map[string]string{"EIO=3": "2:4x", "": "2:4x"}[own]), 200, "ok")
		if r := w.do("GET", "transport=polling&sid="+sid, ""); r.status != 200 {
			t.Errorf("%q: a GET without EIO was answered %d", own, r.status)
		}
	}
	if n := w.obs.refused["protocol version of session"]; n != 3*(5+3+1) {
		t.Errorf("counted %d", n)
	}
}
