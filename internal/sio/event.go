// SPDX-License-Identifier: Apache-2.0

package sio

// Event is a name with arguments. The broker does not read the arguments: it carries them as they
// were written.
type Event struct {
	Name string
	// Args is one well-formed JSON array without the name: `[{"data":"hi"},2]`. Nil means `[]`. An
	// attachment stands in it as `{"_placeholder":true,"num":N}`.
	Args []byte
	// Attachments are the binary parts in the order of their numbers.
	Attachments [][]byte
}

// Size counts the bytes that the event holds, for budgets.
func (e *Event) Size() int { return len(e.Name) + payloadSize(e.Args, e.Attachments) }

// AckID correlates an event with its ack on one socket. Zero is a valid id on the wire.
type AckID uint64

// Ack is the answer to one event. Args and Attachments are as in Event.
type Ack struct {
	Args        []byte
	Attachments [][]byte
}

// Size counts the bytes that the ack holds, for budgets.
func (a *Ack) Size() int { return payloadSize(a.Args, a.Attachments) }

func payloadSize(args []byte, attachments [][]byte) int {
	n := len(args)
	for _, a := range attachments {
		n += len(a)
	}
	return n
}

// Handshake is what a browser sent when it opened its session, and with its connect to the
// namespace. It is shared by all sockets of a session and must not be changed; Auth differs between
// namespaces and travels beside it.
type Handshake struct {
	Method         string // "GET"
	URL            string // path and raw query, as sent
	Host           string
	Headers        []Header // sorted by name; the order of equal names kept
	Address        string   // the client's, without a port
	Secure         bool
	CrossDomain    bool
	IssuedMs       int64 // since the Unix epoch
	Transport      string
	EngineProtocol int
}

// Header is one header line of the opening request, its name in canonical form.
type Header struct{ Name, Value string }

// ReservedEvent tells whether Socket.IO keeps the name for itself: such an event never comes from a
// client and is never emitted. Source: socket.io-parser 4.2, RESERVED_EVENTS.
func ReservedEvent(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
