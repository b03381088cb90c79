// Package child starts programs that end with the test process, however that
// ends: at a time-out and by kill -9 too, when no clean-up of a test runs.
package child

import (
	"os/exec"
	"runtime"
)

// Start starts a program. What its Wait returns is sent when it has ended, and
// the channel closed.
func Start(cmd *exec.Cmd) (ended <-chan error, err error) {
	started, end := make(chan error), make(chan error, 1)
	go func() {
		// The kernel ends the program with the thread that started it, which
		// therefore stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		endsWithThread(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			end <- cmd.Wait()
			close(end)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return end, nil
}
