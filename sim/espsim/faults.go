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
	// LoseFlashOp makes that flash operation do nothing and report none of it,
	// as a worn cell does.
	LoseFlashOp uint64 `json:"lose_flash_op"`
	// MarkFlashOp does nothing to that flash operation but tell the Tap.
	MarkFlashOp uint64 `json:"mark_flash_op"`
	// PullAtByte unplugs the cable when that byte, in either direction, would
	// go over it; CutAtByte cuts the power then.
	PullAtByte uint64 `json:"pull_at_byte"`
	CutAtByte  uint64 `json:"cut_at_byte"`
}

// LineFaults is what happens on one direction of the line.
type LineFaults struct {
	DropByte      uint64 `json:"drop_byte"`
	GarbleByte    uint64 `json:"garble_byte"`
	DuplicateByte uint64 `json:"duplicate_byte"`
	// Run is how many bytes from that one on are dropped, garbled or
	// duplicated (each by itself); 0 is 1.
	Run            uint64 `json:"run"`
	DropFrame      uint64 `json:"drop_frame"`
	GarbleFrame    uint64 `json:"garble_frame"`
	DuplicateFrame uint64 `json:"duplicate_frame"`
	// PullFrame unplugs the cable in place of that frame, CutFrame cuts the
	// power then.
	PullFrame uint64 `json:"pull_frame"`
	CutFrame  uint64 `json:"cut_frame"`
	// MarkFrame does nothing to that frame but tell the Tap.
	MarkFrame uint64 `json:"mark_frame"`
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
	tap   Tap
}

// Tap is told what happens on a chip by the goroutine that does it, which goes
// on when the call returns. It may arm other faults (SetFaults), and must not
// call what changes power, lines or cable.
type Tap interface {
	// Struck comes when a planned fault has been decided on, before it has its
	// effect.
	Struck()
	// Changed comes after each change of the flash, which it may read during the
	// call.
	Changed(flash []byte, addr, n uint32)
	// Booted comes when the boot loader starts the image in a partition.
	Booted(slot string, partition []byte)
}

// struck tells the tap; the lock is not held.
func (f *faultState) struck() {
	if f.tap != nil {
		f.tap.Struck()
	}
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
	opLost
	opCut
)

// flashOp counts a flash operation and says what becomes of it.
func (f *faultState) flashOp() (opFate, Tear) {
	fate, tear, hit := f.nextFlashOp()
	if hit {
		f.struck()
	}
	return fate, tear
}

func (f *faultState) nextFlashOp() (fate opFate, tear Tear, hit bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.FlashOps++
	switch f.count.FlashOps {
	case f.plan.CutAtFlashOp:
		return opCut, f.plan.Tear, true
	case f.plan.FailFlashOp:
		return opFails, 0, true
	case f.plan.LoseFlashOp:
		return opLost, 0, true
	case f.plan.MarkFlashOp:
		return opRuns, 0, true
	}
	return opRuns, 0, false
}

// fate is what the plan has for a piece of traffic.
type fate struct{ pull, cut bool }

// bytes lets p pass as the plan has it. What comes after a pulled cable or a
// cut does not pass.
func (f *faultState) bytes(d direction, p []byte) ([]byte, fate) {
	out, fate, hit := f.nextBytes(d, p)
	if hit {
		f.struck()
	}
	return out, fate
}

func (f *faultState) nextBytes(d direction, p []byte) (out []byte, _ fate, hit bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.count.BytesToChip
	plan := &f.plan.ToChip
	if d == toHost {
		n, plan = &f.count.BytesToHost, &f.plan.ToHost
	}
	if !plan.touchesBytes() && f.plan.PullAtByte == 0 && f.plan.CutAtByte == 0 {
		*n += uint64(len(p))
		return p, fate{}, false
	}
	out = make([]byte, 0, len(p)+1)
	for _, b := range p {
		*n++
		switch total := f.count.BytesToChip + f.count.BytesToHost; total {
		case f.plan.PullAtByte:
			return out, fate{pull: true}, true
		case f.plan.CutAtByte:
			return out, fate{cut: true}, true
		}
		hit = hit || *n == plan.DropByte || *n == plan.GarbleByte || *n == plan.DuplicateByte
		if plan.within(*n, plan.DropByte) {
			continue
		}
		if plan.within(*n, plan.GarbleByte) {
			b ^= 0x24
		}
		if plan.within(*n, plan.DuplicateByte) {
			out = append(out, b)
		}
		if plan.Noise > 0 && f.rng[d].Float64() < plan.Noise {
			b ^= 1 << f.rng[d].IntN(8)
		}
		out = append(out, b)
	}
	return out, fate{}, hit
}

func (l *LineFaults) touchesBytes() bool {
	return l.DropByte|l.GarbleByte|l.DuplicateByte != 0 || l.Noise > 0
}

// within says whether byte n is of the run that begins with byte first.
func (l *LineFaults) within(n, first uint64) bool {
	return first != 0 && n >= first && n-first < max(l.Run, 1)
}

// frame says how often the frame passes, and changes it where planned.
func (f *faultState) frame(d direction, p []byte) (times int, _ fate) {
	times, fate, hit := f.nextFrame(d, p)
	if hit {
		f.struck()
	}
	return times, fate
}

func (f *faultState) nextFrame(d direction, p []byte) (times int, _ fate, hit bool) {
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
		return 0, fate{}, true
	case plan.GarbleFrame:
		p[len(p)/2] ^= 0x24
		return 1, fate{}, true
	case plan.DuplicateFrame:
		return 2, fate{}, true
	case plan.PullFrame:
		return 0, fate{pull: true}, true
	case plan.CutFrame:
		return 0, fate{cut: true}, true
	case plan.MarkFrame:
		return 1, fate{}, true
	}
	return 1, fate{}, false
}
