//go:build linux

package lab

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// startTied starts a command that the kernel kills when this process ends, however that
// is: also a command that was stopped by SIGSTOP, and that knows nothing of it.
func startTied(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	return <-started
}

// starter runs functions in a thread that lives as long as this process: the kernel
// kills at the end of the thread.
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})
