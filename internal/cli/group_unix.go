// SPDX-License-Identifier: Apache-2.0

//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes the command and what it starts a process group, named by the command's id.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithThread(cmd.SysProcAttr)
}

// signalGroup signals all processes of the command's group. It may be empty already.
func signalGroup(p *os.Process, s syscall.Signal) { _ = syscall.Kill(-p.Pid, s) }

func groupAlive(p *os.Process) bool { return syscall.Kill(-p.Pid, 0) == nil }
