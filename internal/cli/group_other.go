// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// Without process groups, only the command itself is ended.
func ownGroup(*exec.Cmd) {}

// signalGroup ends the command: there are no signals to ask it with.
func signalGroup(p *os.Process, _ syscall.Signal) { _ = p.Kill() }

func groupAlive(*os.Process) bool { return false }
