package link_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
)

// syncFrame asks a loader to answer.
func syncFrame() []byte {
	p := []byte{0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20}
	return append(append(p, bytes.Repeat([]byte{0x55}, 32)...), 0xC0)
}

var syncAnswer = []byte{0xC0, 1, 8, 4, 0, 7, 7, 0x12, 0x20, 0, 0, 0, 0, 0xC0}

// until reads until want has come, for ten seconds at most.
func until(t *testing.T, r io.Reader, want []byte) []byte {
	t.Helper()
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok {
		if err := d.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, want) {
		n, err := r.Read(buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatalf("%v after % x, waiting for % x", err, got, want)
		}
	}
	return got
}

func dial(t *testing.T, port []string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(port[1], "rfc2217://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, w io.Writer, p ...byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

func TestRFC2217(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	port := overRFC2217(t, c)
	const iac, sb, se = 255, 250, 240
	for range 2 { // one client after the other
		conn := dial(t, port)
		send(t, conn, iac, 251, 44)
		until(t, conn, []byte{iac, 253, 44})
		send(t, conn, iac, 253, 31) // window size: not here
		until(t, conn, []byte{iac, 252, 31})
		send(t, conn, iac, sb, 44, 1, 0, 7, 8, 0, iac, se) // 460800
		until(t, conn, []byte{iac, sb, 44, 101, 0, 7, 8, 0, iac, se})
		send(t, conn, iac, sb, 44, 1, 0, 0, 0, 0, iac, se) // which is it?
		until(t, conn, []byte{iac, sb, 44, 101, 0, 7, 8, 0, iac, se})
		send(t, conn, iac, sb, 44, 12, 3, iac, se)
		until(t, conn, []byte{iac, sb, 44, 112, 3, iac, se})
		for _, v := range []byte{9, 11, 8, 12, 9} { // classic reset
			send(t, conn, iac, sb, 44, 5, v, iac, se)
			until(t, conn, []byte{iac, sb, 44, 105, v, iac, se})
		}
		if m := c.App().Mode; m != espsim.ModeDownload {
			t.Fatalf("mode %s", m)
		}
		send(t, conn, syncFrame()...)
		until(t, conn, syncAnswer)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRFC2217Unplugged(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	port := overRFC2217(t, c)
	conn := dial(t, port)
	c.Unplug()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays")
	}
	c.Plug()
	c.ResetToBootloader()
	conn = dial(t, port)
	send(t, conn, syncFrame()...)
	until(t, conn, syncAnswer)
}

// openTTY opens a pseudo terminal as a client does, with a baud rate.
func openTTY(t *testing.T, path string, baud uint32) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	setBaud(t, f, baud)
	return f
}

func setBaud(t *testing.T, f *os.File, baud uint32) {
	t.Helper()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = rc.Control(func(fd uintptr) {
		tio, err := unix.IoctlGetTermios(int(fd), unix.TCGETS2)
		if err != nil {
			failed = err
			return
		}
		if tio.Lflag&(unix.ICANON|unix.ECHO) != 0 {
			failed = errors.New("the terminal is not raw")
		}
		tio.Cflag = tio.Cflag&^unix.CBAUD | unix.BOTHER
		tio.Ispeed, tio.Ospeed = baud, baud
		failed = errors.Join(failed, unix.IoctlSetTermios(int(fd), unix.TCSETS2, tio))
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

func TestPTY(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	path := overPTY(t, c)[1]
	for _, baud := range []uint32{115200, 921600} { // one client after the other
		c.ResetToBootloader()
		f := openTTY(t, path, baud)
		send(t, f, syncFrame()...)
		until(t, f, syncAnswer)
		// The ROM has found the rate; another one it does not understand.
		setBaud(t, f, baud/2)
		send(t, f, syncFrame()...)
		if err := f.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err == nil {
			got, _ := io.ReadAll(f)
			if n := bytes.Count(got, syncAnswer); n > 7 { // the rest of the first
				t.Errorf("%d answers at the wrong rate", n)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPTYUnplugged(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	path := overPTY(t, c)[1]
	f := openTTY(t, path, 115200)
	c.Unplug()
	if _, err := f.Read(make([]byte, 1<<16)); err == nil {
		_, err = f.Read(make([]byte, 1<<16))
		if err == nil {
			t.Error("the terminal stays")
		}
	}
	eventually(t, func() bool { _, err := os.Lstat(path); return errors.Is(err, os.ErrNotExist) })
	c.Plug()
	eventually(t, func() bool { _, err := os.Stat(path); return err == nil })
	c.ResetToBootloader()
	f = openTTY(t, path, 115200)
	send(t, f, syncFrame()...)
	until(t, f, syncAnswer)
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("it does not come to that")
}

// Bytes take their time: 64 KiB at 921,600 baud are 0.71 s of line.
func TestPTYIsPaced(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	path := overPTY(t, c)[1]
	c.ResetToBootloader()
	f := openTTY(t, path, 921600)
	send(t, f, syncFrame()...)
	until(t, f, syncAnswer)
	start, before := time.Now(), c.Counters().BytesToChip
	send(t, f, make([]byte, 64<<10)...)
	eventually(t, func() bool { return c.Counters().BytesToChip-before >= 64<<10 })
	if d := time.Since(start); d < 700*time.Millisecond {
		t.Errorf("64 KiB took %v", d)
	}
}

func TestPTYDoesNotReplaceAFile(t *testing.T) {
	c := chipWith(t, espsim.Config{})
	path := filepath.Join(t.TempDir(), "tty")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := link.OpenPTY(c, path, nil); err == nil || !strings.Contains(err.Error(), "remove it or name another place") {
		t.Error(err)
	}
}
