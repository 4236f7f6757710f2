package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/creack/pty"
)

func TestSplitROS(t *testing.T) {
	words := strings.Fields
	for _, tt := range []struct{ line, own, ros string }{
		{"run", "run", ""},
		{"run --ros-args -r __ns:=/r1", "run", "--ros-args -r __ns:=/r1"},
		{"run -- --ros-args -r __ns:=/r1", "run", "--ros-args -r __ns:=/r1"},
		{"run --ros-args -p a:=1 -- --config x", "run --config x", "--ros-args -p a:=1 --"},
		{"--config x run --ros-args --params-file p.yaml --ros-args -r a:=b", "--config x run", "--ros-args --params-file p.yaml --ros-args -r a:=b"},
		{"run --ros-args -r a:=b -- --socket s --ros-args -r c:=d", "run --socket s", "--ros-args -r a:=b -- --ros-args -r c:=d"},
		{"--ros-args", "", "--ros-args"},
		{"trigger -- x", "trigger -- x", ""},
	} {
		own, ros := splitROS(words(tt.line))
		if !slices.Equal(own, words(tt.own)) || !slices.Equal(ros, words(tt.ros)) {
			t.Errorf("%s: got %q and %q", tt.line, own, ros)
		}
	}
}

// TestDetachedHasItsOwnExitCode: a script must be able to tell "I stopped
// looking" from "it is confirmed".
func TestDetachedHasItsOwnExitCode(t *testing.T) {
	f := &fake{socket: filepath.Join(t.TempDir(), "s")}
	if err := f.begin(scenarios["writes"]); err != nil {
		t.Fatal(err)
	}
	defer f.end()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { f.listened(); cancel() }()
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"trigger", "--socket", f.socket}, streams{strings.NewReader(""), &out, &errs})
	if code != exitDetached || !strings.Contains(errs.String(), "the update goes on") {
		t.Errorf("exit code %d, %s", code, &errs)
	}
}

// TestTerminalShowsABar runs the real program on a pseudo-terminal.
func TestTerminalShowsABar(t *testing.T) {
	f := &fake{socket: filepath.Join(t.TempDir(), "s")}
	if err := f.begin(scenarios["confirms"]); err != nil {
		t.Fatal(err)
	}
	defer f.end()
	for name, tt := range map[string]struct {
		env     string
		want    []string
		wantNot []string
	}{
		"colour": {"LANG=C.UTF-8", []string{"\r\x1b[K\x1b[36mwriting", "████████████░░░░░░░░░░░░   50 %  512 KiB of 1.0 MiB  64 KiB/s", "\x1b[32mobserving"}, nil},
		"plain":  {"NO_COLOR=1", []string{"\r\x1b[Kwriting", "############............   50 %"}, []string{"\x1b[3", "█"}},
		"dumb":   {"TERM=dumb", []string{"writing      it is writing"}, []string{"\x1b"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := onTerminal(t, tt.env, "trigger", "--socket", f.socket)
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is missing in %q", w, got)
				}
			}
			for _, w := range tt.wantNot {
				if strings.Contains(got, w) {
					t.Errorf("%q stands in %q", w, got)
				}
			}
		})
	}
}

// onTerminal runs ota-agent with a terminal of 100 columns as its standard
// output and returns what was drawn there.
func onTerminal(t *testing.T, env string, args ...string) string {
	t.Helper()
	exe, err := exec.LookPath("ota-agent") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), exe, args...)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "LANG=") || strings.HasPrefix(e, "LC_") || strings.HasPrefix(e, "NO_COLOR=") || strings.HasPrefix(e, "TERM=")
	}), "TERM=xterm", env)
	c.Stdout, c.Stderr = slave, slave
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	out, _ := io.ReadAll(master) // ends with EIO when the last writer has gone
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return string(out)
}
