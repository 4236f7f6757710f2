package espsim

import (
	"bytes"
	"slices"
	"sync"
	"testing"
)

// ear is a tap that writes down what it is told.
type ear struct {
	mu      sync.Mutex
	struck  int
	changed []uint32 // addresses
	last    []byte   // what lay where the latest change was
	booted  []string
}

func (e *ear) Struck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.struck++
}

func (e *ear) Changed(flash []byte, addr, n uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed, e.last = append(e.changed, addr), bytes.Clone(flash[addr:addr+n])
}

func (e *ear) Booted(slot string, partition []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.booted = append(e.booted, slot)
	if !bytes.HasPrefix(partition, tinyImage("0.2.0", "good")) {
		e.booted = append(e.booted, "something else")
	}
}

// heard gives what was told since it was asked last.
func (e *ear) heard() (struck int, changed []uint32, last []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	struck, changed, last = e.struck, e.changed, e.last
	e.struck, e.changed, e.last = 0, nil, nil
	return struck, changed, last
}

func TestTap(t *testing.T) {
	flash, err := Provision(0, 0, map[string][]byte{"factory": tinyImage("0.2.0", "good")})
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{}
	bubble(t, Config{Flash: flash, Unpaced: true, Tap: e}, func(t *testing.T, c *Chip) {
		waitFor(t, c, "the application", func(s AppStatus) bool { return s.SelfTest == "passed" })
		if !slices.Equal(e.booted, []string{"factory"}) {
			t.Errorf("booted %q", e.booted)
		}
		h := withStub(t, c)
		e.heard()
		data := bytes.Repeat([]byte{0x5A}, 3*pageSize)
		write := func(f Faults) bool {
			c.SetFaults(f)
			return h.writeImage(t, 0x420000, data)
		}
		for _, tt := range []struct {
			name   string
			faults Faults
			struck int
			pages  int // of three that are written; the sector is erased before, once there is something
		}{
			{"nothing", Faults{}, 0, 3},
			{"the second page is lost and nobody told", Faults{LoseFlashOp: 3}, 1, 2},
			{"a mark changes nothing", Faults{MarkFlashOp: 2}, 1, 3},
			{"a marked frame passes", Faults{ToChip: LineFaults{MarkFrame: 2}}, 1, 3},
		} {
			if !write(tt.faults) {
				t.Errorf("%s: the write fails", tt.name)
			}
			struck, changed, _ := e.heard()
			pages := len(slices.DeleteFunc(changed, func(at uint32) bool { return at%sectorSize == 0 }))
			if pages++; struck != tt.struck || pages != tt.pages {
				t.Errorf("%s: struck %d times, %d pages changed, want %d and %d", tt.name, struck, pages, tt.struck, tt.pages)
			}
		}
	})
}

// A run of bytes is lost, garbled or doubled as one.
func TestRunsOfBytes(t *testing.T) {
	in := []byte("0123456789")
	for _, tt := range []struct {
		name string
		plan LineFaults
		want string
	}{
		{"dropped", LineFaults{DropByte: 4, Run: 3}, "0126789"},
		{"doubled, each by itself", LineFaults{DuplicateByte: 4, Run: 3}, "0123344556789"},
		{"no run is one", LineFaults{DropByte: 4}, "012456789"},
		{"to the end", LineFaults{DropByte: 9, Run: 40}, "01234567"},
	} {
		e := &ear{}
		f := &faultState{tap: e}
		f.arm(Faults{ToChip: tt.plan})
		if got, _ := f.bytes(toChip, in); string(got) != tt.want || e.struck != 1 {
			t.Errorf("%s: %q, struck %d times, want %q", tt.name, got, e.struck, tt.want)
		}
	}
}
