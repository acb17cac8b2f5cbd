// SPDX-License-Identifier: Apache-2.0

//go:build !race

package backplane

const raceEnabled = false
