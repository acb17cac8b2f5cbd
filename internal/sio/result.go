// SPDX-License-Identifier: Apache-2.0

package sio

// DispatchID identifies a dispatch in the whole cluster; it stays the same when the dispatch is
// redelivered.
type DispatchID uint64

// Outcome says how a dispatch ended.
type Outcome uint8

const (
	// Handled means that there is nothing to tell the browser. A connect is accepted.
	Handled Outcome = iota
	// Answered carries an ack for the browser. A connect is accepted.
	Answered
	// Refused refuses a connect, with Message and Data.
	Refused
	// Failed means that the handler failed. Message is for logs and never reaches a browser.
	Failed
	// Abandoned means that no instance resolved the dispatch: its deadline passed, or it was
	// dropped under at most once. It is concluded by the broker and never sent by an instance.
	Abandoned
)

// Result resolves a dispatch.
type Result struct {
	Outcome Outcome
	Ack     Ack    // Answered
	Message string // Refused, Failed, Abandoned
	Data    []byte // Refused: one JSON value, or nil
}
