// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	// The application has this long to end after SIGTERM, before it is killed.
	patience  = 10 * time.Second
	lookAgain = 20 * time.Millisecond // between two looks whether all of it has ended
	outputEnd = time.Second           // for the output of an application that has ended
)

// application is the command under dev, and what it started in turn: one process group.
type application struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the command itself has ended
}

func (t *terminal) startApplication(command, environ []string) (*application, error) {
	a := &application{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	a.cmd.Env = environ
	a.cmd.Stdout, a.cmd.Stderr = t.out, t.err
	a.cmd.WaitDelay = outputEnd
	// Where the system can, it ends the application when this thread ends. So the thread must last.
	runtime.LockOSThread()
	ownGroup(a.cmd)
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the command, which stop and kill end
		defer close(a.ended)
		_ = a.cmd.Wait() // exitCode tells
	}()
	return a, nil
}

// stop asks all of the application to end, and kills it when it does not. It returns when the
// command has ended.
func (a *application) stop() {
	signalGroup(a.cmd.Process, syscall.SIGTERM)
	for end := time.Now().Add(patience); a.running() && time.Now().Before(end); {
		time.Sleep(lookAgain)
	}
	a.kill()
	<-a.ended
}

func (a *application) running() bool {
	select {
	case <-a.ended:
		return groupAlive(a.cmd.Process)
	default:
		return true
	}
}

// kill ends all of the application at once.
func (a *application) kill() { signalGroup(a.cmd.Process, syscall.SIGKILL) }

// exitCode is the command's, as a shell would tell it.
func (a *application) exitCode() int {
	state := a.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signalled + int(status.Signal())
	}
	return max(state.ExitCode(), 0)
}
