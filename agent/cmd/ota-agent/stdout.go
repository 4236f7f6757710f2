package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// alone keeps the standard output for what this program says: libraries of ROS
// write what they complain of to it, which goes to the standard error instead.
func (a *app) alone() error {
	if f, ok := a.std.out.(*os.File); !ok || f.Fd() != uintptr(unix.Stdout) {
		return nil
	}
	own, err := unix.Dup(unix.Stdout)
	if err == nil {
		unix.CloseOnExec(own)
		err = unix.Dup3(unix.Stderr, unix.Stdout, 0)
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	a.std.out = os.NewFile(uintptr(own), "stdout")
	return nil
}
