package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

// told measures by another program, which says what it is at and writes its rows
// to the file that -rows names.
func told(program ...string) func(context.Context, options, io.Writer) ([]row, error) {
	return func(ctx context.Context, o options, out io.Writer) ([]row, error) {
		if o.only != "" && o.part == "" {
			return nil, nil // it would measure all to show none
		}
		dir, err := os.MkdirTemp("", "ota-bench-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "rows.json")
		cmd := exec.CommandContext(ctx, program[0], slices.Concat(program[1:], []string{"-rows", file})...)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it has processes of its own to end
		cmd.WaitDelay = time.Minute
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(program, " "), err)
		}
		rows, err := benchtable.Read(file)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(rows, func(r row) bool { return !strings.Contains(r.Case, o.only) }), nil
	}
}
