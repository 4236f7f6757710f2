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

// TestWriteSizes: what is written is right at any length, and nothing beyond
// its last sector is touched.
func TestWriteSizes(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		for _, n := range []int{1, 3, 4, 1023, 4095, 4096, 4097, 65535, 65536, 65537, 131072} {
			t.Run(fmt.Sprintf("noStub=%v/%d", noStub, n), func(t *testing.T) {
				flash := make([]byte, 1<<20) // zeros: neither erased nor what is written
				bubble(t, espsim.Config{Unpaced: true, Flash: flash, FlashSize: 1 << 20}, func(t *testing.T, chip *espsim.Chip) {
					data := content(n, uint64(n))
					s := connect(t, chip, esprom.Options{NoStub: noStub})
					const off = 0x21000 // not at the border of an erase block
					write(t, s, off, data)
					end := (n + 4095) &^ 4095
					want := slices.Concat(data, bytes.Repeat([]byte{0xFF}, end-n))
					holds(t, chip, off-4096, make([]byte, 4096))
					holds(t, chip, off, want)
					holds(t, chip, off+end, make([]byte, 4096))
				})
			})
		}
	}
}

func TestWriteRanges(t *testing.T) {
	bubble(t, espsim.Config{Unpaced: true, FlashSize: 1 << 20}, func(t *testing.T, chip *espsim.Chip) {
		s := connect(t, chip, esprom.Options{})
		before := chip.Counters()
		for _, tc := range []struct {
			off uint32
			n   int
		}{{1, 4}, {0x1001, 4096}, {1 << 20, 4}, {0xFF000, 4097}, {0xFFFFF000, 4096}, {0xFFFFF000, 8192}, {0, 0}, {0, 1<<20 + 1}} {
			if err := s.Write(t.Context(), tc.off, make([]byte, tc.n), nil); !errors.Is(err, esprom.ErrRange) {
				t.Errorf("%d bytes at %#x: %v", tc.n, tc.off, err)
			}
		}
		for _, tc := range []struct{ off, n uint32 }{{0, 0}, {1 << 20, 1}, {0xFFFFFFFF, 2}, {0x80000000, 0x80000000}} {
			if _, err := s.Read(t.Context(), tc.off, tc.n); !errors.Is(err, esprom.ErrRange) {
				t.Errorf("read %d bytes at %#x: %v", tc.n, tc.off, err)
			}
			if _, err := s.MD5(t.Context(), tc.off, tc.n); !errors.Is(err, esprom.ErrRange) {
				t.Errorf("hash %d bytes at %#x: %v", tc.n, tc.off, err)
			}
		}
		if after := chip.Counters(); after != before {
			t.Error("the chip was asked")
		}
	})
}

// TestSkip: what is right already does not go over the line.
func TestSkip(t *testing.T) {
	const size = 600_000
	data := content(size, 1)
	change := func(at ...int) []byte {
		b := slices.Clone(data)
		for _, i := range at {
			b[i] ^= 0xFF
		}
		return b
	}
	for _, tc := range []struct {
		name string
		old  []byte
		most uint64 // bytes to the chip
	}{
		{"same", data, 1_000},
		{"one byte", change(300_000), 70_000},
		{"first and last", change(0, size-1), 140_000},
		{"interrupted", slices.Concat(data[:400_000], make([]byte, size-400_000)), 230_000},
		{"unrelated", content(size, 2), 480_000},
		{"blank", nil, 480_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			flash := slices.Concat(make([]byte, slot0), tc.old)
			bubble(t, espsim.Config{Flash: flash}, func(t *testing.T, chip *espsim.Chip) {
				s := connect(t, chip, esprom.Options{Ahead: data})
				before := chip.Counters()
				write(t, s, slot0, data)
				holds(t, chip, slot0, data)
				after := chip.Counters()
				if n := after.BytesToChip - before.BytesToChip; n > tc.most {
					t.Errorf("%d bytes went to the chip, want %d at most", n, tc.most)
				}
				if tc.name == "same" && after.FlashOps != before.FlashOps {
					t.Error("flash was written")
				}
				if err := s.Close(t.Context(), false); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		cfg := espsim.Config{Unpaced: true, Faults: espsim.Faults{ToChip: espsim.LineFaults{DropByte: 60_000}}}
		bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
			data := content(200_000, 3)
			var seen []int
			s := connect(t, chip, esprom.Options{NoStub: noStub})
			err := s.Write(t.Context(), slot0, data, func(done, total int) {
				if total != len(data) {
					t.Errorf("total %d", total)
				}
				seen = append(seen, done)
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(seen) || len(seen) < 6 || seen[len(seen)-1] != len(data) {
				t.Errorf("progress went %v", seen)
			}
		})
	}
}

// TestFlashFails: a sector that fails once is written anew; the failure comes
// late under the stub, and is found all the same.
func TestFlashFails(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		for op := uint64(1); op < 700; op += 23 {
			t.Run(fmt.Sprintf("noStub=%v/%d", noStub, op), func(t *testing.T) {
				cfg := espsim.Config{Unpaced: true, Flash: make([]byte, 1<<20), FlashSize: 1 << 20, Faults: espsim.Faults{FailFlashOp: op}}
				bubble(t, cfg, func(t *testing.T, chip *espsim.Chip) {
					data := content(150_000, op)
					s := connect(t, chip, esprom.Options{NoStub: noStub})
					write(t, s, 0x20000, data)
					holds(t, chip, 0x20000, data)
				})
			})
		}
	}
}

func TestRead(t *testing.T) {
	for _, noStub := range []bool{false, true} {
		flash := content(1<<20, 5)
		bubble(t, espsim.Config{Flash: flash, FlashSize: 1 << 20}, func(t *testing.T, chip *espsim.Chip) {
			s := connect(t, chip, esprom.Options{NoStub: noStub})
			for _, tc := range []struct{ off, n uint32 }{{0, 1}, {1, 63}, {0xFFF, 2}, {0x10000, 0xC00}, {3, 4097}, {0xFFFFF, 1}, {0x7000, 70_001}} {
				if noStub && tc.n > 5000 {
					continue
				}
				got, err := s.Read(t.Context(), tc.off, tc.n)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, flash[tc.off:tc.off+tc.n]) {
					t.Errorf("%d bytes at %#x are wrong", tc.n, tc.off)
				}
			}
		})
	}
}

// TestReadFaults: a read that says it succeeded did, whatever hit it.
func TestReadFaults(t *testing.T) {
	flash := content(1<<20, 5)
	for seed := range uint64(80) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, espsim.Config{Unpaced: true, Flash: flash, FlashSize: 1 << 20}, func(t *testing.T, chip *espsim.Chip) {
				r := rand.New(rand.NewPCG(seed, 3))
				s := connect(t, chip, esprom.Options{NoStub: seed%4 == 0})
				f := oneFault(r, 300, 20)
				f.ToHost.GarbleByte = r.Uint64N(9000)
				chip.SetFaults(f)
				got, err := s.Read(t.Context(), 0x1234, 9000)
				if err != nil || !bytes.Equal(got, flash[0x1234:0x1234+9000]) {
					t.Errorf("%+v: wrong data, or %v", f, err)
				}
			})
		})
	}
}

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
					err := s.Write(t.Context(), slot0, content(500_000, 5), nil)
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
					err = s.Write(t.Context(), slot0, data, nil)
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
		err = s.Write(t.Context(), slot0, content(300_000, 9), nil)
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
					s := connect(t, chip, esprom.Options{Ahead: data})
					ctx, cancel := context.WithTimeout(t.Context(), after)
					defer cancel()
					start := time.Now()
					err := s.Write(ctx, slot0, data, nil)
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
