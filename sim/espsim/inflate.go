package espsim

import (
	"compress/zlib"
	"errors"
	"io"
	"iter"
)

// windowSize is deflate's: what a loader inflates before it writes.
const windowSize = 32 << 10

// window inflates a zlib stream that comes in pieces, a window at a time.
type window struct {
	buf  [windowSize]byte
	n    int  // bytes of it that are inflated
	done bool // the stream's end was seen and its window handed out

	last  bool // the end was seen
	err   error
	input []byte
	pull  func() (event, bool)
	end   func()
}

type event uint8

const (
	eventHungry event = iota // all input is used
	eventOutput              // n grew
)

var errInflate = errors.New("inflate error")

// inflate takes from *p and says whether the window is to be written: it is
// full, or the stream is at its end. Not full means that all input is used.
func (w *window) inflate(p *[]byte) (full bool, err error) {
	if w.done {
		return false, nil
	}
	if w.pull == nil {
		w.pull, w.end = iter.Pull(w.run)
	}
	if len(*p) > 0 {
		w.input, *p = *p, nil
	}
	for w.n < windowSize && !w.last {
		ev, ok := w.pull()
		switch {
		case !ok && w.err != nil:
			return false, w.err
		case !ok:
			w.last = true
		case ev == eventHungry:
			return false, nil
		}
	}
	return w.n > 0, nil
}

// next makes room after a window was written; what was in it stays until it
// is overwritten.
func (w *window) next() {
	w.n = 0
	if w.last {
		w.done = true
		w.stop()
	}
}

// stop ends the stream.
func (w *window) stop() {
	if w.end != nil {
		w.end()
		w.pull, w.end = nil, nil
	}
}

// run is the inflating coroutine.
func (w *window) run(yield func(event) bool) {
	in := &pieces{w: w, yield: yield}
	z, err := zlib.NewReader(in)
	if err != nil {
		w.err = errInflate
		return
	}
	for {
		if w.n == windowSize {
			if !yield(eventOutput) {
				return
			}
			continue
		}
		n, err := z.Read(w.buf[w.n:])
		w.n += n
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.err = errInflate
			return
		}
		if !yield(eventOutput) {
			return
		}
	}
}

// pieces is the input of the coroutine: it hands control back when it is used
// up. It is a ByteReader so that nothing is read ahead of need.
type pieces struct {
	w     *window
	yield func(event) bool
}

func (p *pieces) ReadByte() (byte, error) {
	for len(p.w.input) == 0 {
		if !p.yield(eventHungry) {
			return 0, io.ErrClosedPipe
		}
	}
	b := p.w.input[0]
	p.w.input = p.w.input[1:]
	return b, nil
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := p.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}
