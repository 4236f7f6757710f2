package serialport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes each write to the lines and when it came. Its failures are
// taken from the front.
type recorder struct {
	begin    time.Time
	writes   []string
	setErrs  []error
	probeErr error
	reopens  int
	reopen   error
	closed   int
}

func (r *recorder) setLines(s lines) error {
	one := sequence{steps: []step{{lines: s}}}
	r.writes = append(r.writes, fmt.Sprintf("%d:%v", time.Since(r.begin).Milliseconds(), one))
	if len(r.setErrs) == 0 {
		return nil
	}
	err := r.setErrs[0]
	r.setErrs = r.setErrs[1:]
	return err
}

func (r *recorder) probe() error                 { return r.probeErr }
func (r *recorder) Reopen(context.Context) error { r.reopens++; return r.reopen }
func (r *recorder) Close() error                 { r.closed++; return nil }

func TestPerformKeepsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{begin: time.Now()}
		if err := perform(t.Context(), r, classicBoot(holdBoot)); err != nil {
			t.Fatal(err)
		}
		if want := []string{"0:D0", "0:R1", "100:D1", "100:R0", "150:D0"}; !slices.Equal(r.writes, want) {
			t.Errorf("%v, want %v", r.writes, want)
		}
	})
}

func TestPerformLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		defer cancel()
		r := &recorder{begin: time.Now()}
		err := perform(ctx, r, tightBoot(holdBoot))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), "step 3 of 5") {
			t.Errorf("perform = %v", err)
		}
		if want := []string{"0:U00", "0:U11", "0:U01", "40:U00"}; !slices.Equal(r.writes, want) {
			t.Errorf("%v, want %v", r.writes, want)
		}
	})
	bad := errors.New("bad")
	r := &recorder{begin: time.Now(), setErrs: []error{nil, bad}}
	if err := perform(t.Context(), r, runApp()); !errors.Is(err, bad) || len(r.writes) != 3 {
		t.Errorf("perform = %v after %v", err, r.writes)
	}
}

func TestResetOfAPortThatVanishes(t *testing.T) {
	gone := &GoneError{Port: "/dev/ttyACM0", Op: "set lines", Err: errors.New("EIO")}
	other := errors.New("no modem lines")
	for name, c := range map[string]struct {
		recorder
		want    error
		reopens int
		starts  int // how often the sequence began
	}{
		"stays":                {recorder{}, nil, 0, 1},
		"at the end":           {recorder{probeErr: gone}, nil, 1, 1},
		"in the middle":        {recorder{setErrs: []error{nil, gone}}, nil, 1, 2},
		"and does not return":  {recorder{setErrs: []error{gone}, reopen: other}, other, 1, 1},
		"each time":            {recorder{setErrs: []error{gone, nil, gone, nil, gone, nil}}, ErrGone, 3, 3},
		"no lines":             {recorder{setErrs: []error{other}}, other, 0, 1},
		"cannot be asked":      {recorder{probeErr: other}, other, 0, 1},
		"at the end, for good": {recorder{probeErr: gone, reopen: other}, other, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := c.recorder
			r.begin = time.Now()
			err := resetAlive(t.Context(), &r, sequence{steps: []step{{lines: lines{rts: asserted}}, {lines{rts: released}, time.Second}}}, orDiscard(nil))
			if !errors.Is(err, c.want) || (err != nil) != (c.want != nil) {
				t.Errorf("%s: %v", name, err)
			}
			starts := 0
			for _, w := range r.writes {
				if strings.HasSuffix(w, ":R1") {
					starts++
				}
			}
			if r.reopens != c.reopens || starts != c.starts {
				t.Errorf("%s: %d reopens, %d starts (%v)", name, r.reopens, starts, r.writes)
			}
		})
	}
}

func TestResetByGPIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{begin: time.Now()}
		g := gpio{
			cfg:     GPIO{Chip: "gpiochip4", EN: 17, Boot: 27},
			request: func(GPIO) (pins, error) { return r, nil },
			plan:    planFor(ByGPIO, USB{}, false), log: orDiscard(nil),
		}
		if err := errors.Join(g.Bootloader(t.Context(), 0), g.Bootloader(t.Context(), 1), g.Run(t.Context())); err != nil {
			t.Fatal(err)
		}
		want := []string{"0:U11", "100:U10", "150:U00", "150:U11", "250:U10", "800:U00", "800:U01", "900:U00"}
		if !slices.Equal(r.writes, want) || r.closed != 3 {
			t.Errorf("%v, closed %d times, want %v", r.writes, r.closed, want)
		}
	})
}

func TestResetByGPIOThatIsMissing(t *testing.T) {
	p := &Port{path: "/dev/ttyAMA0"}
	r, err := NewResetter(Reset{Method: ByGPIO, GPIO: GPIO{Chip: "gpiochip-none", EN: 17, Boot: 27}}, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no chip gpiochip-none") {
		t.Errorf("Run = %v", err)
	}
}

func TestResetByCommand(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "note")
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	cmd := Command{
		Bootloader: sh(`echo "loader $OTA_PORT $OTA_ATTEMPT" >>` + note),
		Run:        sh(`echo "relay: no such board" >&2; exit 3`),
	}
	r, err := NewResetter(Reset{Method: ByCmd, Command: cmd}, &Port{path: "/dev/ttyX"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Bootloader(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(note); string(b) != "loader /dev/ttyX 2\n" {
		t.Errorf("the command saw %q", b)
	}
	err = r.Run(t.Context())
	for _, part := range []string{"reset command for run", `"/bin/sh"`, "exit status 3", "it said: relay: no such board"} {
		if !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("Run = %v, without %q", err, part)
		}
	}
}

// A command that hangs is killed with what it started, so that nothing of it
// is left with the board.
func TestResetByCommandThatHangs(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	r, err := NewResetter(Reset{Method: ByCmd, Command: Command{
		Bootloader: []string{"/bin/sh", "-c", "sleep 60 & echo $! >" + child + "; wait"},
		Run:        []string{"/no/such/tool"}, Timeout: 300 * time.Millisecond,
	}}, &Port{path: "/dev/ttyX"})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Bootloader(t.Context(), 0)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), "still not done after 300ms") {
		t.Errorf("Bootloader = %v", err)
	}
	var pid int
	b, _ := os.ReadFile(child)
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); running(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what the command started runs on")
		}
	}
	if err := r.Run(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Bootloader(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// running tells a live process from one that is dead and not yet waited for.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestResetNone(t *testing.T) {
	r, err := NewResetter(Reset{Method: None}, &Port{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Bootloader(t.Context(), 0), r.Run(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestResetConfig(t *testing.T) {
	both := Command{Bootloader: []string{"a"}, Run: []string{"b"}}
	slow := both
	slow.Timeout = time.Hour
	for _, c := range []struct {
		r    Reset
		text string
	}{
		{Reset{Method: "magic"}, "[auto classic tight usb-jtag gpio command none]"},
		{Reset{Method: ByGPIO}, "needs the chip"},
		{Reset{Method: ByGPIO, GPIO: GPIO{Chip: "gpiochip0"}}, "en and boot are both line 0"},
		{Reset{Method: ByGPIO, GPIO: GPIO{Chip: "gpiochip0", EN: -1}}, "offsets start at 0"},
		{Reset{Method: ByCmd}, "needs the bootloader command"},
		{Reset{Method: ByCmd, Command: Command{Bootloader: []string{"a"}}}, "needs the run command"},
		{Reset{Method: ByCmd, Command: slow}, "time-out 1h0m0s"},
	} {
		if _, err := NewResetter(c.r, &Port{}); !errors.Is(err, ErrConfig) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	for _, ok := range []Reset{{}, {Method: Classic}, {Method: ByCmd, Command: both}} {
		if err := ok.Validate(); err != nil {
			t.Errorf("%+v: %v", ok, err)
		}
	}
}
