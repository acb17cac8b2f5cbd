// SPDX-License-Identifier: Apache-2.0

//go:build !race

package socketio

// raceDetector tells whether the race detector is on.
const raceDetector = false
