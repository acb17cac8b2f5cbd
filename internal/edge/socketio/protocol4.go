// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"maps"
	"slices"

	"github.com/spanwire/spanwire/api/querystring"
	"github.com/spanwire/spanwire/internal/sio"
)

// Protocol 4 is what clients of Socket.IO 2 speak, over revision 3 of Engine.IO. Events, acks and
// disconnects are as in protocol 5. A connect carries no payload: what the client wants to say
// stands as a query behind the namespace, "0/admin?token=abc,". Its answer says no socket id, and a
// refusal is one JSON value without an object around it.

// AppendConnect4 appends the answer to a connect that was accepted, in protocol 4.
func AppendConnect4(dst []byte, ns sio.Namespace) []byte { return appendHead(dst, Connect, 0, ns) }

// AppendConnectError4 appends the answer to a connect that was refused, in protocol 4: the data,
// which is one JSON value, or else the message.
func AppendConnectError4(dst []byte, ns sio.Namespace, message string, data []byte) []byte {
	dst = appendHead(dst, ConnectError, 0, ns)
	if len(data) > 0 {
		return append(dst, data...)
	}
	return appendText(dst, message)
}

// queryObject makes a JSON object of a query, with text for values, and with an array of texts
// where a key comes more than once. No query gives nothing.
func queryObject(query []byte) []byte {
	if len(query) == 0 {
		return nil
	}
	values := querystring.Parse(string(query))
	out := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, key), ':')
		out = appendTexts(out, values[key])
	}
	return append(out, '}')
}

// appendTexts appends one text as such, several as an array.
func appendTexts(dst []byte, texts []string) []byte {
	if len(texts) == 1 {
		return appendText(dst, texts[0])
	}
	for i, text := range texts {
		dst = appendText(append(dst, "[,"[min(i, 1)]), text)
	}
	return append(dst, ']')
}
