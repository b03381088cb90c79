package child

import (
	"os/exec"
	"syscall"
)

// endsWithThread has a program killed when the thread that starts it is gone.
func endsWithThread(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
