package main

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// At a terminal the password is asked for twice.
func TestPasswordIsAskedFor(t *testing.T) {
	t.Parallel()
	const good = "correct horse battery"
	data := filepath.Join(t.TempDir(), "data")
	for _, tt := range []struct{ name, typed, want string }{
		{"ann", good + "\n" + good + "\n", ""},
		{"ben", good + "\n" + good + "x\n", "the two are not the same"},
		{"eve", "short\n", "too short"},
	} {
		cmd := exec.Command("ota-fleet", "user", "add", "--data", data, tt.name)
		tty, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan string)
		go func() { b, _ := io.ReadAll(tty); said <- string(b) }() // an error at the end of the process
		if _, err := io.WriteString(tty, tt.typed); err != nil {
			t.Fatal(err)
		}
		out := <-said
		err = cmd.Wait()
		tty.Close()
		if (err == nil) != (tt.want == "") || !strings.Contains(out, tt.want) || !strings.Contains(out, "Password (12 characters or more): ") {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
		}
	}
}
