// SPDX-License-Identifier: Apache-2.0

package cli

import "syscall"

// endWithThread makes the system end the process when the thread that starts it ends, so also when
// this program is killed.
func endWithThread(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGTERM }
