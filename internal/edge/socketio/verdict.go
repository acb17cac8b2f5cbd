// SPDX-License-Identifier: Apache-2.0

package socketio

import (
	"errors"

	"github.com/spanwire/spanwire/internal/sio"
)

// Verdict says what was wrong with a packet, from a closed list. Its text is a metric label.
type Verdict uint8

// The verdicts.
const (
	// VerdictType means that there is no such packet type, or no packet at all.
	VerdictType Verdict = iota
	// VerdictAttachments means that the number of attachments is missing, is no number, or is zero.
	VerdictAttachments
	// VerdictTooManyAttachments means that more attachments are announced than the limit allows.
	VerdictTooManyAttachments
	// VerdictAttachmentBytes means that the attachments of one packet are larger than the limit
	// allows.
	VerdictAttachmentBytes
	// VerdictPlaceholder means that a placeholder names no attachment.
	VerdictPlaceholder
	// VerdictTextExpectedBinary means that a text message came where an attachment was due, or in a
	// session that speaks MessagePack.
	VerdictTextExpectedBinary
	// VerdictBinaryUnexpected means that a binary message came where no attachment was due.
	VerdictBinaryUnexpected
	// VerdictNamespace means that the namespace's name is longer than the limit allows, or does not
	// begin with a slash.
	VerdictNamespace
	// VerdictAckID means that the ack id is larger than 2^53-1, or stands in a packet that has
	// none.
	VerdictAckID
	// VerdictJSON means that the payload is not well-formed JSON.
	VerdictJSON
	// VerdictDepth means that the payload is nested deeper than the limit allows.
	VerdictDepth
	// VerdictPayload means that the payload has not the kind that the packet's type asks for, or is
	// missing.
	VerdictPayload
	// VerdictEventName means that the event's name is neither text nor a number.
	VerdictEventName
	// VerdictEventNameLength means that the event's name is longer than the limit allows.
	VerdictEventNameLength
	// VerdictReserved means that Socket.IO keeps the event's name for itself.
	VerdictReserved
	// VerdictMsgpack means that the packet is not well-formed MessagePack, has text that is no
	// UTF-8, or a map key that JSON cannot have.
	VerdictMsgpack
	// VerdictExtension means that the packet has a MessagePack extension that is not known here.
	VerdictExtension
	// VerdictPayloadBytes means that a payload that came as MessagePack is larger as JSON than the
	// limit allows.
	VerdictPayloadBytes

	verdicts int = iota
)

// errs holds one error for each verdict, so that bad input costs no allocation.
var errs = [verdicts]*Error{
	VerdictType: newError(VerdictType, "type", sio.CodeInvalid,
		"there is no such packet type"),
	VerdictAttachments: newError(VerdictAttachments, "attachments", sio.CodeInvalid,
		"the number of attachments is missing or zero"),
	VerdictTooManyAttachments: newError(VerdictTooManyAttachments, "too_many_attachments", sio.CodeTooLarge,
		"there are more attachments than max-attachments allows"),
	VerdictAttachmentBytes: newError(VerdictAttachmentBytes, "attachment_bytes", sio.CodeTooLarge,
		"the attachments together are larger than max-payload allows"),
	VerdictPlaceholder: newError(VerdictPlaceholder, "placeholder", sio.CodeInvalid,
		"a placeholder names no attachment"),
	VerdictTextExpectedBinary: newError(VerdictTextExpectedBinary, "text_expected_binary", sio.CodeInvalid,
		"text came where binary data was due"),
	VerdictBinaryUnexpected: newError(VerdictBinaryUnexpected, "binary_unexpected", sio.CodeInvalid,
		"an attachment came that was not announced"),
	VerdictNamespace: newError(VerdictNamespace, "namespace", sio.CodeTooLarge,
		"the namespace's name is longer than max-namespace-length allows, or does not begin with a slash"),
	VerdictAckID: newError(VerdictAckID, "ack_id", sio.CodeInvalid,
		"the ack id is above 2^53-1 or out of place"),
	VerdictJSON: newError(VerdictJSON, "json", sio.CodeInvalid,
		"the payload is not well-formed JSON"),
	VerdictDepth: newError(VerdictDepth, "depth", sio.CodeTooLarge,
		"the payload is nested deeper than max-json-depth allows"),
	VerdictPayload: newError(VerdictPayload, "payload", sio.CodeInvalid,
		"the payload is missing or of the wrong kind"),
	VerdictEventName: newError(VerdictEventName, "event_name", sio.CodeInvalid,
		"the event's name is neither text nor a number"),
	VerdictEventNameLength: newError(VerdictEventNameLength, "event_name_length", sio.CodeTooLarge,
		"the event's name is longer than max-event-name-length allows"),
	VerdictReserved: newError(VerdictReserved, "reserved", sio.CodeInvalid,
		"the event's name is reserved by Socket.IO"),
	VerdictMsgpack: newError(VerdictMsgpack, "msgpack", sio.CodeInvalid,
		"the packet is not well-formed MessagePack, or has what JSON cannot hold"),
	VerdictExtension: newError(VerdictExtension, "msgpack_extension", sio.CodeInvalid,
		"the packet has an unknown MessagePack extension"),
	VerdictPayloadBytes: newError(VerdictPayloadBytes, "payload_bytes", sio.CodeTooLarge,
		"the payload is larger as JSON than max-payload allows"),
}

// String is the metric label.
func (v Verdict) String() string { return errs[v].label }

// Rule says what was wrong, in a clause.
func (v Verdict) Rule() string { return errs[v].err.Message }

// Verdicts lists all of them.
func Verdicts() []Verdict {
	all := make([]Verdict, verdicts)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// Error refuses a packet. It wraps a sio.Error.
type Error struct {
	Verdict Verdict
	label   string
	err     *sio.Error
}

func newError(v Verdict, label string, code sio.Code, message string) *Error {
	return &Error{Verdict: v, label: label, err: sio.E(code, "decode packet", message)}
}

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the sio.Error.
func (e *Error) Unwrap() error { return e.err }

// VerdictOf gives the verdict of the first Error in err's chain; ok is false when there is none.
func VerdictOf(err error) (v Verdict, ok bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Verdict, true
	}
	return 0, false
}
