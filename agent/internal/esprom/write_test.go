package esprom_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

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
			if _, err := s.Write(t.Context(), tc.off, make([]byte, tc.n), nil); !errors.Is(err, esprom.ErrRange) {
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
		{"one byte", change(300_000), 6_500},
		{"first and last", change(0, size-1), 11_000},
		{"three sectors of a block", change(0x10000, 0x14000, 0x18000), 15_000},
		{"eight sectors of a block", change(0x10000, 0x12000, 0x14000, 0x16000, 0x18000, 0x1A000, 0x1C000, 0x1E000), 45_000},
		{"interrupted", slices.Concat(data[:400_000], make([]byte, size-400_000)), 230_000},
		{"unrelated", content(size, 2), 480_000},
		{"blank", nil, 480_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			flash := slices.Concat(make([]byte, slot0), tc.old)
			bubble(t, espsim.Config{Flash: flash}, func(t *testing.T, chip *espsim.Chip) {
				s := connect(t, chip, esprom.Options{Ahead: esprom.Pack(data)})
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
			_, err := s.Write(t.Context(), slot0, data, func(done, total int) {
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

// astray garbles the address of the first read that is asked for.
type astray struct {
	*espsim.Port
	struck bool
}

func (a *astray) Write(p []byte) (int, error) {
	const address = 1 + 8 // behind the frame's mark and the header
	if read := len(p) > address+4 && (p[2] == 0xD2 || p[2] == 0x0E); read && !a.struck {
		p = bytes.Clone(p)
		p[address+1] ^= 0x10
		a.struck = true
	}
	return a.Port.Write(p)
}

// TestReadAstray: a request has no checksum, so the loader reads where a garbled address says, and the stub proves by its
// MD5 what lies there. It is not taken for what was asked for.
func TestReadAstray(t *testing.T) {
	flash := content(1<<20, 5)
	for _, noStub := range []bool{false, true} {
		bubble(t, espsim.Config{Flash: flash, FlashSize: 1 << 20}, func(t *testing.T, chip *espsim.Chip) {
			port := &astray{Port: chip.Open(), struck: true}
			s := connectBy(t, port, buttons{chip}, esprom.Options{NoStub: noStub})
			port.struck = false
			got, err := s.Read(t.Context(), 0x18000, 32)
			if err != nil || !port.struck || !bytes.Equal(got, flash[0x18000:0x18000+32]) {
				t.Errorf("without a stub: %v: read %x, %v, want %x", noStub, got, err, flash[0x18000:0x18000+32])
			}
		})
	}
}
