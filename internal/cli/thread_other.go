// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package cli

import "syscall"

// Only Linux can end a process with the thread that started it.
func endWithThread(*syscall.SysProcAttr) {}
