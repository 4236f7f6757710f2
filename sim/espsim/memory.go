package espsim

import (
	"context"
	"encoding/binary"
)

// memory is an upload to RAM: MEM_BEGIN, MEM_DATA, MEM_END.
type memory struct {
	active bool
	seq    uint32
	left   uint32
	addr   uint32
	loaded []extent // what was uploaded since reset
	data   []byte   // its bytes, as far as maxUpload
}

const (
	maxUpload  = 512 << 10 // more RAM the chip does not have
	minStub    = 1 << 10   // a stub shorter than that cannot be one
	maxExtents = 256
)

// begin takes size, blocks, block size and address.
func (m *memory) begin(chip *model, q request) bool {
	size, addr := q.word(0), q.word(3)
	for _, ram := range chip.ram {
		if ram.holds(addr, size) {
			m.active, m.seq, m.left, m.addr = true, 0, size, addr
			return true
		}
	}
	return false
}

func (m *memory) put(p []byte) {
	if len(m.loaded) < maxExtents {
		m.loaded = append(m.loaded, extent{m.addr, uint32(len(p))})
	}
	if len(m.data)+len(p) <= maxUpload {
		m.data = append(m.data, p...)
	}
	m.addr += uint32(len(p))
	m.left -= uint32(len(p))
}

// runnable says whether jumping to entry runs a stub: enough was uploaded,
// the entry lies in uploaded code, and what was uploaded is neither blank nor
// all the same.
func (m *memory) runnable(chip *model, entry uint32) bool {
	if len(m.data) < minStub || !chip.code.holds(entry, 1) {
		return false
	}
	var seen [256]bool
	kinds := 0
	for _, b := range m.data {
		if !seen[b] {
			seen[b] = true
			kinds++
		}
	}
	if kinds < 16 {
		return false
	}
	for _, e := range m.loaded {
		if e.holds(entry, 1) {
			return true
		}
	}
	return false
}

func (r *rom) memBegin(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 16 {
		return nil, romFormat, nil
	}
	if !r.mem.begin(r.c.model, q) {
		return nil, romFailed, nil
	}
	return nil, 0, nil
}

func (r *rom) memData(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) < dataHeaderLen || !r.mem.active {
		return nil, romFormat, nil
	}
	p := q.data[dataHeaderLen:]
	if uint64(q.word(0)) != uint64(len(p)) || q.word(1) != r.mem.seq || uint32(len(p)) > r.mem.left {
		return nil, romFormat, nil
	}
	r.mem.seq++
	if checksum(p) != q.sum {
		return nil, romChecksum, nil
	}
	r.mem.put(p)
	return nil, 0, nil
}

// memEnd takes whether to stay, and the entry point.
func (r *rom) memEnd(_ context.Context, q request) ([]byte, byte, error) {
	if len(q.data) != 8 || !r.mem.active {
		return nil, romFormat, nil
	}
	r.mem.active = false
	return nil, 0, nil
}

// jump runs what was uploaded: the stub, or a crash, which the watchdog ends.
func (r *rom) jump(ctx context.Context, entry uint32) error {
	if r.c.cfg.NoStub || !r.mem.runnable(r.c.model, entry) {
		r.c.log.Info("uploaded code crashed", "entry", entry, "bytes", binary.Size(r.mem.data))
		if r.c.cfg.NoStub {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return errReboot
	}
	return r.c.serveStub(ctx, r)
}
