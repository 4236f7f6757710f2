package serialport

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"
)

// asMaster makes the test binary hold a pty's master until its input ends.
const asMaster = "SERIALPORT_TEST_MASTER"

// asChild makes the test binary try to open a port and print how that went;
// a test runs it under another user.
const (
	asChild  = "SERIALPORT_TEST_OPEN"
	childDir = "SERIALPORT_TEST_LOCKS"
)

func TestMain(m *testing.M) {
	if port := os.Getenv(asChild); port != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		p, err := Open(ctx, Config{Port: port, LockDir: os.Getenv(childDir)})
		if err == nil {
			err = p.Close()
		}
		cancel()
		fmt.Print(err)
		os.Exit(0)
	}
	if os.Getenv(asMaster) != "" {
		master, slave, err := pty.Open()
		if err != nil {
			panic(err)
		}
		fmt.Println(slave.Name())
		_ = slave.Close()
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = master.Close()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// openPTY gives a pty: its master, and the path of the slave. With hold the
// slave stays open here, as a simulator would keep it.
func openPTY(t *testing.T, hold bool) (*os.File, string) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	path := slave.Name()
	if hold {
		t.Cleanup(func() { _ = slave.Close() })
	} else if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	return master, path
}

// start runs a process that ends with the test.
func start(t *testing.T, stdin *os.File, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

func mustOpen(t *testing.T, cfg Config) *Port {
	t.Helper()
	p, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func readFull(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	buf := make([]byte, n)
	if _, err := io.ReadFull(r, buf); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	return buf
}
