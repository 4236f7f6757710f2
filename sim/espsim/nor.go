package espsim

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"
)

const (
	sectorSize = 4 << 10
	blockSize  = 64 << 10
	pageSize   = 256
)

var (
	errPower = errors.New("power is gone")
	errReset = errors.New("reset")
	errSPI   = errors.New("flash operation failed")
)

// nor is a NOR flash: an erase sets every bit of a sector or block, a program
// only clears bits, and both take time and can be torn by a power cut. A reset
// of the chip does not tear anything, since the flash keeps its power.
type nor struct {
	timing Timing
	faults *faultState
	cut    func() // takes the power away

	mu   sync.Mutex // guards data; never held while waiting
	data []byte

	// The rest belongs to the one goroutine that is the chip's life.
	free       time.Time // when the part is ready again
	background extent    // an erase that runs since before free
}

type extent struct{ addr, n uint32 }

// slack is how far the clock of the flash may run ahead of the wall's before
// it is waited for: a page program is shorter than a timer is precise.
const slack = 2 * time.Millisecond

func checkSize(n int) error {
	if n < 1<<20 || n > 16<<20 || bits.OnesCount(uint(n)) != 1 {
		return fmt.Errorf("espsim: flash of %d bytes: want a power of two from 1 MiB to 16 MiB", n)
	}
	return nil
}

func (n *nor) size() uint32 { return uint32(len(n.data)) }

func (n *nor) inside(addr, size uint32) bool {
	return uint64(addr)+uint64(size) <= uint64(len(n.data))
}

// read copies from flash and takes the time it takes to read.
func (n *nor) read(ctx context.Context, addr uint32, p []byte) error {
	if !n.inside(addr, uint32(len(p))) {
		return errSPI
	}
	d := n.timing.Read * time.Duration(len(p)) / 1024
	n.faults.worked(0, d)
	if err := n.spend(ctx, d); err != nil {
		return err
	}
	n.peek(addr, p)
	return nil
}

// peek copies from flash; the caller has checked the bounds.
func (n *nor) peek(addr uint32, p []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	copy(p, n.data[addr:])
}

// look lets f see a part of the flash in place; the caller has checked the
// bounds, and f keeps nothing of it.
func (n *nor) look(addr, size uint32, f func([]byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(n.data[addr : addr+size : addr+size])
}

// eraseRange erases whole sectors, by blocks where they fit.
func (n *nor) eraseRange(ctx context.Context, addr, size uint32) error {
	for size > 0 {
		step := eraseStep(addr, size)
		if err := n.erase(ctx, addr, step, false); err != nil {
			return err
		}
		addr += step
		size -= step
	}
	return nil
}

func eraseStep(addr, size uint32) uint32 {
	if addr%blockSize == 0 && size >= blockSize {
		return blockSize
	}
	return sectorSize
}

// erase erases one sector or block. In the background it returns at once, and
// the next operation waits for it.
func (n *nor) erase(ctx context.Context, addr, size uint32, background bool) error {
	if !n.inside(addr, size) {
		return errSPI
	}
	d := n.timing.EraseSector
	if size == blockSize {
		d = n.timing.EraseBlock
	}
	return n.operate(ctx, d, background, extent{addr, size}, func(e extent) {
		clearTo(n.data[e.addr:e.addr+e.n], 0xFF)
	})
}

// clearTo fills p with b.
func clearTo(p []byte, b byte) {
	if len(p) == 0 {
		return
	}
	p[0] = b
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}

// program clears bits, page by page.
func (n *nor) program(ctx context.Context, addr uint32, p []byte) error {
	if !n.inside(addr, uint32(len(p))) {
		return errSPI
	}
	for len(p) > 0 {
		step := min(len(p), pageSize-int(addr%pageSize))
		page, at := p[:step], addr
		err := n.operate(ctx, n.timing.PageProgram, false, extent{addr, uint32(step)}, func(e extent) {
			for i := range page[:e.n] {
				n.data[at+uint32(i)] &= page[i]
			}
		})
		if err != nil {
			return err
		}
		p = p[step:]
		addr += uint32(step)
	}
	return nil
}

// operate performs one erase or program: it is counted, may fail or be torn
// by the plan of faults, takes its time, and is torn where the power goes
// meanwhile.
func (n *nor) operate(ctx context.Context, d time.Duration, background bool, e extent, apply func(extent)) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	half := extent{e.addr, e.n / 2}
	op, tear := n.faults.flashOp()
	switch op {
	case opFails:
		return errSPI
	case opLost:
		return n.spend(ctx, d)
	case opCut:
		switch tear {
		case TearHalf:
			n.apply(half, apply)
		case TearAfter:
			n.apply(e, apply)
		case TearBefore:
		}
		n.cut()
		return errPower
	case opRuns:
	}
	n.faults.worked(d, 0)
	if background {
		n.apply(e, apply)
		n.ahead(d)
		n.background = e
		return nil
	}
	switch err := n.spend(ctx, d); {
	case err == nil, errors.Is(err, errReset):
		n.apply(e, apply)
		return err
	default:
		n.apply(half, apply)
		return err
	}
}

func (n *nor) apply(e extent, f func(extent)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(e)
	n.changed(e)
}

// changed tells the tap; the lock is held.
func (n *nor) changed(e extent) {
	if n.faults != nil && n.faults.tap != nil {
		n.faults.tap.Changed(n.data, e.addr, e.n)
	}
}

// busy tells whether an erase or a program is under way.
func (n *nor) busy() bool { return time.Until(n.free) > slack }

// ready waits for what is under way.
func (n *nor) ready(ctx context.Context) error {
	if !n.busy() {
		return context.Cause(ctx)
	}
	if err := sleep(ctx, time.Until(n.free)); err != nil {
		n.tearBackground(err)
		return err
	}
	return nil
}

// ahead books d on the part without waiting.
func (n *nor) ahead(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	now := time.Now()
	if n.free.Before(now) {
		n.free = now
	}
	n.free = n.free.Add(d)
	return n.free.Sub(now)
}

// spend books d and waits for the part unless it is nearly done.
func (n *nor) spend(ctx context.Context, d time.Duration) error {
	if d <= 0 && n.free.IsZero() {
		return context.Cause(ctx)
	}
	if wait := n.ahead(d); wait > slack {
		if err := sleep(ctx, wait); err != nil {
			n.tearBackground(err)
			return err
		}
	}
	n.background = extent{}
	return context.Cause(ctx)
}

// tearBackground undoes half of an erase that still ran when the power went:
// what was there before is lost all the same, so the half reads as noise.
func (n *nor) tearBackground(err error) {
	e := n.background
	if e.n == 0 || !errors.Is(err, errPower) || !time.Now().Before(n.free) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := e.addr + e.n/2; i < e.addr+e.n; i++ {
		n.data[i] &= byte(i*167 + i>>8)
	}
	n.changed(e)
}

// settled ends a life: whatever the part was doing is done or torn.
func (n *nor) settled(err error) {
	n.tearBackground(err)
	n.background = extent{}
	n.free = time.Time{}
}

// sleep waits for d, or until ctx ends, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
