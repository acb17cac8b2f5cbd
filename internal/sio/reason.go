// SPDX-License-Identifier: Apache-2.0

package sio

// Reason says why a session closed or a socket disconnected. The values are the words that
// Socket.IO users know, and metric labels.
type Reason string

const (
	// ReasonTransportClose means that the browser closed the connection, or it ended cleanly.
	ReasonTransportClose Reason = "transport close"
	// ReasonTransportError means that the connection broke, or that the browser broke a rule of
	// Engine.IO.
	ReasonTransportError Reason = "transport error"
	// ReasonPingTimeout means that the browser did not answer a heartbeat in time.
	ReasonPingTimeout Reason = "ping timeout"
	// ReasonParseError means that an Engine.IO packet could not be read.
	ReasonParseError Reason = "parse error"
	// ReasonForcedClose means that the browser broke a rule of Socket.IO.
	ReasonForcedClose Reason = "forced close"
	// ReasonForcedServerClose means that the broker closed the session on purpose, for example
	// since no namespace was joined in time.
	ReasonForcedServerClose Reason = "forced server close"
	// ReasonServerShuttingDown means that this replica drains, or the one that forwards the
	// WebSocket of the session.
	ReasonServerShuttingDown Reason = "server shutting down"
	// ReasonClientDisconnect means that the browser left the namespace.
	ReasonClientDisconnect Reason = "client namespace disconnect"
	// ReasonServerDisconnect means that a handler disconnected the socket.
	ReasonServerDisconnect Reason = "server namespace disconnect"
	// ReasonPayloadTooLarge means that the browser sent more than the setting max-payload allows.
	ReasonPayloadTooLarge Reason = "payload too large"
	// ReasonSlowConsumer means that the browser took nothing for the setting write-timeout, that
	// its outbound queue was full (setting max-outbound), or that the queues of the replica were,
	// and it held much of them (setting max-outbound-total).
	ReasonSlowConsumer Reason = "slow consumer"
	// ReasonTooManyPackets means that the browser sent more packets per second than the setting
	// max-packet-rate allows.
	ReasonTooManyPackets Reason = "too many packets"
)
