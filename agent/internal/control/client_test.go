package control

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDeniedSaysWhoMay: root is never denied, so the refusal is made by hand.
func TestDeniedSaysWhoMay(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // the group of somebody else
		if err := os.Chown(socket, -1, 4321); err != nil {
			t.Fatal(err)
		}
	}
	denied := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := NewClient(socket).explain(t.Context(), denied)
	if !errors.Is(err, ErrDenied) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"not allowed to talk to the agent on " + socket, "run this with sudo, or join the group ", "usermod -aG "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if err := NewClient("/nowhere/s").explain(t.Context(), denied); !strings.HasSuffix(err.Error(), "run this with sudo") {
		t.Errorf("got %v", err)
	}
}
