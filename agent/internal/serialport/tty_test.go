package serialport

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// allBytes holds each byte value twice over, so that whatever a line
// discipline or an escape would eat is missed.
func allBytes() []byte {
	b := make([]byte, 512)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestTTYCarriesEveryByteBothWays(t *testing.T) {
	master, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	if n, err := p.Write(allBytes()); n != 512 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if got := readFull(t, master, 512); !bytes.Equal(got, allBytes()) {
		t.Errorf("the master got % x", got)
	}
	if _, err := master.Write(allBytes()); err != nil {
		t.Fatal(err)
	}
	if got := readFull(t, p, 512); !bytes.Equal(got, allBytes()) {
		t.Errorf("the port gave % x", got)
	}
}

func TestTTYRateIsSeenByTheMaster(t *testing.T) {
	master, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	for _, baud := range []int{0, 115200, 921600, 2_000_000, 74880, 1234567, 460800} {
		want := baud
		if baud == 0 {
			want = DefaultBaud
		} else if err := p.SetBaud(baud); err != nil {
			t.Fatal(err)
		}
		s, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS2)
		if err != nil {
			t.Fatal(err)
		}
		if int(s.Ospeed) != want || s.Cflag&unix.CSIZE != unix.CS8 || s.Cflag&(unix.PARENB|unix.CSTOPB|unix.CRTSCTS) != 0 {
			t.Errorf("at %d baud the master sees %d, flags %#o", want, s.Ospeed, s.Cflag)
		}
	}
	for _, bad := range []int{0, -1, MinBaud - 1, MaxBaud + 1} {
		if err := p.SetBaud(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("SetBaud(%d) = %v", bad, err)
		}
	}
}

func TestTTYReadTimeout(t *testing.T) {
	master, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	for _, d := range []time.Duration{0, 30 * time.Millisecond} {
		if err := p.SetReadTimeout(d); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		n, err := p.Read(make([]byte, 8))
		if n != 0 || err != os.ErrDeadlineExceeded { //nolint:errorlint // the contract is the sentinel itself
			t.Errorf("Read = %d, %v", n, err)
		}
		if took := time.Since(begin); took < d {
			t.Errorf("a read of %v gave up after %v", d, took)
		}
	}
	if err := p.SetReadTimeout(-1); err == nil {
		t.Error("a negative timeout is taken")
	}
	if _, err := master.WriteString("stale"); err != nil {
		t.Fatal(err)
	}
	if err := p.ResetInput(); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after ResetInput: %d bytes, %v", n, err)
	}
}

func TestTTYWriteThatNobodyTakesEnds(t *testing.T) {
	_, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir(), Baud: MaxBaud})
	p.link.(*tty).patience = 100 * time.Millisecond
	_, err := p.Write(make([]byte, 1<<20)) // far beyond a pty's buffer
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrGone) {
		t.Fatalf("Write = %v", err)
	}
}

func TestTTYGoneWhenTheFarSideCloses(t *testing.T) {
	master, path := openPTY(t, false)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	if err := p.SetReadTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 8))
		done <- err
	}()
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		var gone *GoneError
		if !errors.As(err, &gone) || !errors.Is(err, ErrGone) || gone.Op != "read" {
			t.Errorf("Read = %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a read on a dead port does not end")
	}
	for name, err := range map[string]error{
		"write":     second(p.Write([]byte("x"))),
		"read":      second(p.Read(make([]byte, 1))),
		"set baud":  p.SetBaud(115200),
		"probe":     p.probe(),
		"set lines": p.setLines(letGo),
	} {
		if !errors.Is(err, ErrGone) || !strings.Contains(fmt.Sprint(err), "("+name+": ") {
			t.Errorf("%s on a dead port: %v", name, err)
		}
	}
}

func second(_ int, err error) error { return err }

func TestTTYCloseEndsARead(t *testing.T) {
	_, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	if err := p.SetReadTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(make([]byte, 8))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it wait; without that the test still holds
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrGone) {
		t.Errorf("Read = %v", err)
	}
	if err := p.SetBaud(9600); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetBaud = %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func TestTTYHasNoLinesOnAPTY(t *testing.T) {
	_, path := openPTY(t, true)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	r, err := NewResetter(Reset{}, p)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Bootloader(t.Context(), 0)
	if !errors.Is(err, ErrNoLines) || !strings.Contains(fmt.Sprint(err), "set serial.reset.method to command or gpio") {
		t.Errorf("Bootloader = %v", err)
	}
}

// A pty has no modem bits to look at, so the change of them is looked at.
func TestModemBits(t *testing.T) {
	const other, dtr, rts = unix.TIOCM_CTS | unix.TIOCM_CAR, unix.TIOCM_DTR, unix.TIOCM_RTS
	for _, c := range []struct {
		set        lines
		from, want int
	}{
		{lines{}, other | dtr, other | dtr},
		{lines{dtr: asserted}, other | rts, other | rts | dtr},
		{lines{rts: asserted}, other | dtr, other | rts | dtr},
		{lines{rts: released}, other | dtr | rts, other | dtr},
		{lines{dtr: released, rts: asserted}, other | dtr, other | rts},
		{letGo, other | dtr | rts, other},
	} {
		if got := c.set.apply(c.from); got != c.want {
			t.Errorf("%+v on %#x gives %#x, want %#x", c.set, c.from, got, c.want)
		}
	}
}

func TestTTYReopenWaitsForTheDevice(t *testing.T) {
	master, path := openPTY(t, false)
	link := filepath.Join(t.TempDir(), "ota-esp32")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, Config{Port: link, LockDir: t.TempDir(), Baud: 460800})
	if err := errors.Join(os.Remove(link), master.Close()); err != nil {
		t.Fatal(err)
	}
	back, newPath := openPTY(t, true)
	go func() {
		time.Sleep(120 * time.Millisecond)
		_ = os.Symlink(newPath, link)
	}()
	if err := p.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := unix.IoctlGetTermios(int(back.Fd()), unix.TCGETS2)
	if err != nil || s.Ospeed != 460800 {
		t.Errorf("after Reopen the rate is %d, %v", s.Ospeed, err)
	}
	if _, err := p.Write([]byte("again")); err != nil {
		t.Error(err)
	}
	if got := readFull(t, back, 5); string(got) != "again" {
		t.Errorf("got %q", got)
	}
}

func TestTTYReopenEndsWithItsContext(t *testing.T) {
	master, path := openPTY(t, false)
	p := mustOpen(t, Config{Port: path, LockDir: t.TempDir()})
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextFor(t, 150*time.Millisecond)
	defer cancel()
	err := p.Reopen(ctx)
	if !errors.Is(err, ErrGone) || !errors.Is(err, ErrNoDevice) {
		t.Errorf("Reopen = %v", err)
	}
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrGone) {
		t.Errorf("Read after a failed Reopen = %v", err)
	}
}
