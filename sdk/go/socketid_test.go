// SPDX-License-Identifier: Apache-2.0

package spanwire

import (
	"errors"
	"testing"

	spanwirev1 "github.com/spanwire/spanwire/api/gen/spanwire/v1"
)

// A join to another socket's own room must fail where the broker refuses it, and nothing else must.
func TestStream_checkRooms(t *testing.T) {
	const own, other = "abcdeAabcdefghijklmnopqrstuvwx", "abcdeA-_cdefghijklmnopqrstuvwx"
	self := Target{rooms: []string{own}}
	for name, c := range map[string]struct {
		kind   commandKind
		target Target
		rooms  []string
		fails  bool
	}{
		"own":           {commandJoin, self, []string{own, "lobby"}, false},
		"other":         {commandJoin, self, []string{"lobby", other}, true},
		"many":          {commandJoin, Target{rooms: []string{own, "lobby"}}, []string{own}, true},
		"all":           {commandJoin, Target{}, []string{own}, true},
		"pattern":       {commandJoin, Target{rooms: []string{own}, pattern: true}, []string{own}, true},
		"leave":         {commandLeave, self, []string{other}, false},
		"shorter":       {commandJoin, self, []string{other[1:]}, false},
		"no replica":    {commandJoin, self, []string{"abcdefabcdefghijklmnopqrstuvwx"}, false},
		"other letters": {commandJoin, self, []string{"abcdeA.bcdefghijklmnopqrstuvwx"}, false},
	} {
		for _, refuses := range []bool{true, false} {
			s := &stream{welcome: &spanwirev1.Welcome{RefusesSocketIdRooms: refuses}}
			err := s.checkRooms(&command{kind: c.kind, target: c.target, rooms: c.rooms})
			var fault *CommandError
			if want := c.fails && refuses; errors.As(err, &fault) != want || want && fault.Code != FaultInvalid {
				t.Errorf("%s, refuses: %v: %v", name, refuses, err)
			}
		}
	}
}
