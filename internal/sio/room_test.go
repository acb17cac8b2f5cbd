// SPDX-License-Identifier: Apache-2.0

package sio

import (
	"strings"
	"testing"
)

// Every id of a socket must be recognized, and names of rooms that merely resemble one must not.
func TestRoom_NamesSocket(t *testing.T) {
	for range 1000 {
		if id := NewSocketID(NewReplicaID()); !id.Room().NamesSocket() {
			t.Fatalf("%s is not recognized", id)
		}
	}
	id := string(NewSocketID(NewReplicaID()))
	for _, room := range []string{
		"", "lobby", id[1:], id + "x", " " + id[1:], strings.Repeat("a", 30), "order-1234567890-1234567890-12", id[:29] + "\n", id[:28] + "é",
	} {
		if Room(room).NamesSocket() {
			t.Errorf("%q is recognized", room)
		}
	}
}
