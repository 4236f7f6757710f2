package esprom_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// wire is a chip's port that something happens to.
type wire struct {
	*espsim.Port
	mu      sync.Mutex
	left    int             // bytes to the chip until the line falls silent; <0: for ever
	at      func()          // what else happens then
	noisy   map[int]float64 // chance that a byte is garbled, by speed
	baud    int
	rng     *rand.Rand
	garbled int
}

func (w *wire) SetBaud(b int) error {
	w.mu.Lock()
	w.baud = b
	w.mu.Unlock()
	return w.Port.SetBaud(b)
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	q := slices.Clone(p)
	if w.left >= 0 && len(q) >= w.left {
		q = q[:w.left]
		if w.at != nil {
			w.at()
			w.at = nil
		}
	}
	if w.left >= 0 {
		w.left -= len(q)
	}
	for i := range q {
		if rate := w.noisy[w.baud]; rate > 0 && w.rng.Float64() < rate {
			q[i] ^= 1 << w.rng.IntN(8)
			w.garbled++
		}
	}
	w.mu.Unlock()
	if len(q) > 0 {
		if _, err := w.Port.Write(q); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// TestSpeedFallsBack: a line that garbles at high speeds is used at a lower one.
func TestSpeedFallsBack(t *testing.T) {
	for _, tc := range []struct {
		name  string
		noisy map[int]float64
		most  int
	}{
		{"bad at 921600", map[int]float64{921600: 2e-3}, 460800},
		{"bad above 115200", map[int]float64{921600: 2e-3, 460800: 2e-3}, 115200},
		{"dead above 115200", map[int]float64{921600: 1, 460800: 1}, 115200},
		{"good", nil, 921600},
	} {
		for _, noStub := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/noStub=%v", tc.name, noStub), func(t *testing.T) {
				bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
					w := &wire{Port: chip.Open(), left: -1, noisy: tc.noisy, rng: rand.New(rand.NewPCG(1, 1))}
					data := content(300_000, 4)
					s := connectBy(t, w, buttons{chip}, esprom.Options{NoStub: noStub})
					start := time.Now()
					write(t, s, slot0, data)
					holds(t, chip, slot0, data)
					t.Logf("%v, %d bytes garbled, %+v", time.Since(start), w.garbled, s.Info())
					// In raw blocks of 1 KiB some noise costs less than the speed would.
					if got := s.Info().Baud; got > tc.most && !noStub {
						t.Errorf("still at %d baud", got)
					}
				})
			})
		}
	}
}

// TestGoesSilent: the line dies without the port noticing. That is said within
// seconds, not after the time that writing might take.
func TestGoesSilent(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		for _, after := range []int{0, 7, 3_000, 100_000, 200_000} {
			t.Run(fmt.Sprintf("noStub=%v/%d", noStub, after), func(t *testing.T) {
				bubble(t, espsim.Config{Timing: espsim.RealTiming()}, func(t *testing.T, chip *espsim.Chip) {
					w := &wire{Port: chip.Open(), left: -1}
					s := connectBy(t, w, buttons{chip}, esprom.Options{NoStub: noStub})
					var cut time.Time
					w.left, w.at = after, func() { cut = time.Now() }
					_, err := s.Write(t.Context(), slot0, content(500_000, 5), nil)
					if !errors.Is(err, esprom.ErrSilent) {
						t.Fatalf("got %v", err)
					}
					if took := time.Since(cut); took > 10*time.Second {
						t.Errorf("it took %v to say: %v", took, err)
					}
				})
			})
		}
	}
}

// TestUnplugged: a port that is gone is told from a silent chip, at once; and
// with the cable back the write can be done.
func TestUnplugged(t *testing.T) {
	for _, at := range []uint64{1, 100, 5_000, 20_000, 100_000, 200_000} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			cfg := espsim.Config{Faults: espsim.Faults{PullAtByte: at}}
			bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
				data := content(500_000, 6)
				start := time.Now()
				s, err := esprom.Connect(t.Context(), chip.Open(), buttons{chip}, options(t, esprom.Options{}))
				if err == nil {
					_, err = s.Write(t.Context(), slot0, data, nil)
				}
				if !errors.Is(err, esprom.ErrDead) || !errors.Is(err, espsim.ErrUnplugged) {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(start); took > 6*time.Second {
					t.Errorf("it took %v", took)
				}
				chip.Plug()
				chip.SetFaults(espsim.Faults{})
				s = connect(t, chip, esprom.Options{})
				write(t, s, slot0, data)
				holds(t, chip, slot0, data)
			})
		})
	}
}

// TestPowerCut: the chip loses power in mid-write and comes back.
func TestPowerCut(t *testing.T) {
	bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
		data := content(300_000, 6)
		w := &wire{Port: chip.Open(), left: 120_000}
		w.at = func() { chip.PowerCut(); chip.PowerOn(); w.left = -1 }
		s := connectBy(t, w, buttons{chip}, esprom.Options{})
		write(t, s, slot0, data)
		holds(t, chip, slot0, data)
	})
}

// both presses the buttons of two chips.
type both [2]*espsim.Chip

func (b both) Bootloader(context.Context, int) error {
	for _, c := range b {
		c.ResetToBootloader()
	}
	return nil
}
func (both) Run(context.Context) error { return nil }

// TestOtherChip: the cable is moved to another robot in mid-write.
func TestOtherChip(t *testing.T) {
	bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
		other, err := espsim.New(espsim.Config{MAC: [6]byte{1, 2, 3, 4, 5, 6}})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		w := &wire{Port: chip.Open(), left: 100_000}
		w.at = func() {
			w.Port, w.left = other.Open(), -1
			_ = w.Port.SetReadTimeout(time.Second) // as it is on the port that it stands in for
		}
		s := connectBy(t, w, both{chip, other}, esprom.Options{})
		before := other.Flash()
		_, err = s.Write(t.Context(), slot0, content(300_000, 9), nil)
		var refused *esprom.RefusedError
		if !errors.As(err, &refused) || refused.Reason != esprom.RefusedOtherChip {
			t.Errorf("got %v", err)
		}
		if !bytes.Equal(before, other.Flash()) {
			t.Error("the other chip was written")
		}
	})
}

// TestCancel: a cancelled write ends at once, and a new session can go on.
func TestCancel(t *testing.T) {
	for _, resets := range []bool{true, false} {
		for after := 10 * time.Millisecond; after < time.Second; after = after*2 + 7*time.Millisecond {
			t.Run(fmt.Sprintf("resets=%v/%v", resets, after), func(t *testing.T) {
				bubble(t, espsim.Config{}, func(t *testing.T, chip *espsim.Chip) {
					data := content(250_000, 7)
					s := connect(t, chip, esprom.Options{Ahead: esprom.Pack(data)})
					ctx, cancel := context.WithTimeout(t.Context(), after)
					defer cancel()
					start := time.Now()
					_, err := s.Write(ctx, slot0, data, nil)
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("got %v", err)
					}
					if late := time.Since(start) - after; late > 500*time.Millisecond {
						t.Errorf("it took %v more", late)
					}
					if err := s.Close(t.Context(), false); err != nil {
						t.Error(err)
					}
					var r esprom.Resetter = buttons{chip}
					if !resets {
						r = noReset{}
					}
					s = connectBy(t, chip.Open(), r, esprom.Options{})
					write(t, s, slot0, data)
					holds(t, chip, slot0, data)
				})
			})
		}
	}
}

// failing is a port whose methods fail.
type failing struct{ read, write, timeout error }

func (f failing) Read([]byte) (int, error)           { return 0, f.read }
func (f failing) Write(p []byte) (int, error)        { return len(p), f.write }
func (f failing) SetReadTimeout(time.Duration) error { return f.timeout }

func TestPortFails(t *testing.T) {
	late := os.ErrDeadlineExceeded
	for name, p := range map[string]failing{
		"end of file": {read: io.EOF},
		"read":        {read: errors.New("input/output error")},
		"write":       {read: late, write: errors.New("input/output error")},
		"full":        {read: late, write: os.ErrDeadlineExceeded},
		"time-out":    {read: late, timeout: errors.New("bad file descriptor")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := esprom.Connect(t.Context(), p, noReset{}, options(t, esprom.Options{}))
			if !errors.Is(err, esprom.ErrDead) || !strings.Contains(err.Error(), "serial port") {
				t.Fatalf("got %v", err)
			}
		})
	}
}
