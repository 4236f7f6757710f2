package espsim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Faults is a plan of what goes wrong. Numbers count from 1 since SetFaults;
// zero means never.
type Faults struct {
	ToChip LineFaults `json:"to_chip"`
	ToHost LineFaults `json:"to_host"`
	// CutAtFlashOp cuts the power at that flash operation (every sector
	// erase, block erase and page program counts), done as far as Tear says.
	CutAtFlashOp uint64 `json:"cut_at_flash_op"`
	Tear         Tear   `json:"tear"`
	// FailFlashOp makes that flash operation report an error and do nothing.
	// In the ROM loader that fails the command, under the stub the next one.
	FailFlashOp uint64 `json:"fail_flash_op"`
	// PullAtByte unplugs the cable when that byte, in either direction, would
	// go over it; CutAtByte cuts the power then.
	PullAtByte uint64 `json:"pull_at_byte"`
	CutAtByte  uint64 `json:"cut_at_byte"`
}

// LineFaults is what happens on one direction of the line.
type LineFaults struct {
	DropByte       uint64 `json:"drop_byte"`
	GarbleByte     uint64 `json:"garble_byte"`
	DuplicateByte  uint64 `json:"duplicate_byte"`
	DropFrame      uint64 `json:"drop_frame"`
	GarbleFrame    uint64 `json:"garble_frame"`
	DuplicateFrame uint64 `json:"duplicate_frame"`
	// PullFrame unplugs the cable in place of that frame, CutFrame cuts the
	// power then.
	PullFrame uint64 `json:"pull_frame"`
	CutFrame  uint64 `json:"cut_frame"`
	// Noise garbles each byte with this probability, drawn from Seed.
	Noise float64 `json:"noise"`
	Seed  uint64  `json:"seed"`
}

// Tear is how far the flash operation got that the power cut hit.
type Tear uint8

// The degrees of a torn operation.
const (
	TearHalf   Tear = iota // half of it: part of the bits are cleared or set
	TearBefore             // not begun
	TearAfter              // just done, nobody told
)

var tearNames = [...]string{"half", "before", "after"}

// MarshalText implements encoding.TextMarshaler: "half", "before", "after".
func (t Tear) MarshalText() ([]byte, error) {
	if int(t) >= len(tearNames) {
		return nil, fmt.Errorf("tear %d: want 0 to %d", t, len(tearNames)-1)
	}
	return []byte(tearNames[t]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Tear) UnmarshalText(b []byte) error {
	for i, name := range tearNames {
		if string(b) == name {
			*t = Tear(i)
			return nil
		}
	}
	return fmt.Errorf("tear %q: want half, before or after", b)
}

// Counters is what happened since SetFaults.
type Counters struct {
	FlashOps     uint64 `json:"flash_ops"`
	BytesToChip  uint64 `json:"bytes_to_chip"`
	BytesToHost  uint64 `json:"bytes_to_host"`
	FramesToChip uint64 `json:"frames_to_chip"`
	FramesToHost uint64 `json:"frames_to_host"`
	// What the flash part was at work for, by Config.Timing.
	WriteTime time.Duration `json:"write_ns"` // erasing and programming
	ReadTime  time.Duration `json:"read_ns"`  // reading, hashing included
}

// direction of a byte or frame.
type direction uint8

const (
	toChip direction = iota
	toHost
)

// faultState counts what happens and says when the plan strikes.
type faultState struct {
	mu    sync.Mutex
	plan  Faults
	count Counters
	rng   [2]*rand.Rand
}

func (f *faultState) arm(plan Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.count = plan, Counters{}
	f.rng = [2]*rand.Rand{
		rand.New(rand.NewPCG(plan.ToChip.Seed, 1)),
		rand.New(rand.NewPCG(plan.ToHost.Seed, 2)),
	}
}

// worked counts what the flash part takes for something.
func (f *faultState) worked(write, read time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.WriteTime += write
	f.count.ReadTime += read
}

func (f *faultState) counters() Counters {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

type opFate uint8

const (
	opRuns opFate = iota
	opFails
	opCut
)

func (f *faultState) flashOp() opFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.FlashOps++
	switch f.count.FlashOps {
	case f.plan.CutAtFlashOp:
		return opCut
	case f.plan.FailFlashOp:
		return opFails
	}
	return opRuns
}

func (f *faultState) tear() Tear {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plan.Tear
}

// fate is what the plan has for a piece of traffic.
type fate struct{ pull, cut bool }

// bytes lets p pass as the plan has it. What comes after a pulled cable or a
// cut does not pass.
func (f *faultState) bytes(d direction, p []byte) ([]byte, fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.count.BytesToChip
	plan := &f.plan.ToChip
	if d == toHost {
		n, plan = &f.count.BytesToHost, &f.plan.ToHost
	}
	if *plan == (LineFaults{}) && f.plan.PullAtByte == 0 && f.plan.CutAtByte == 0 {
		*n += uint64(len(p))
		return p, fate{}
	}
	out := make([]byte, 0, len(p)+1)
	for _, b := range p {
		*n++
		switch total := f.count.BytesToChip + f.count.BytesToHost; total {
		case f.plan.PullAtByte:
			return out, fate{pull: true}
		case f.plan.CutAtByte:
			return out, fate{cut: true}
		}
		switch *n {
		case plan.DropByte:
			continue
		case plan.GarbleByte:
			b ^= 0x24
		case plan.DuplicateByte:
			out = append(out, b)
		}
		if plan.Noise > 0 && f.rng[d].Float64() < plan.Noise {
			b ^= 1 << f.rng[d].IntN(8)
		}
		out = append(out, b)
	}
	return out, fate{}
}

// frames says how often the frame passes, and changes it where planned.
func (f *faultState) frame(d direction, p []byte) (times int, hit fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.count.FramesToChip
	plan := &f.plan.ToChip
	if d == toHost {
		n, plan = &f.count.FramesToHost, &f.plan.ToHost
	}
	*n++
	switch *n {
	case plan.DropFrame:
		return 0, fate{}
	case plan.GarbleFrame:
		p[len(p)/2] ^= 0x24
	case plan.DuplicateFrame:
		return 2, fate{}
	case plan.PullFrame:
		return 0, fate{pull: true}
	case plan.CutFrame:
		return 0, fate{cut: true}
	}
	return 1, fate{}
}
