package esprom

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/klauspost/compress/zlib"

	"github.com/robot-platform/robot-ota/agent/internal/esprom/deflate"
)

const (
	// stubBlock is the largest block the stub takes.
	stubBlock = 0x4000
	// maxInflated bounds, roughly, what one block expands to, and so how long
	// the stub may be busy with it.
	maxInflated = 64 << 10
	// stubWindow is what the stub inflates before it writes.
	stubWindow = 32 << 10
	// lastOfWindow is about how much of a window's stream is kept back for a
	// block of its own; see cut.
	lastOfWindow = 2 << 10
)

// stream is flash content as a zlib stream cut into blocks.
type stream struct {
	size   int // inflated
	blocks []streamBlock
}

type streamBlock struct {
	data []byte
	end  int // about how many bytes of the content are out once it is inflated
}

// pack makes the stream of data, which must not be empty, as small as it can,
// which takes a second a megabyte, or quickly.
func pack(data []byte, small bool) (*stream, error) {
	z, err := smallest(data, small)
	if err != nil {
		return nil, err
	}
	c, err := chart(z, data)
	if err != nil {
		return nil, err
	}
	return &stream{size: len(data), blocks: c.cut(z, len(data))}, nil
}

// smallest is data packed with care, where that is asked for and worth it, or
// quickly. There is but one of the two in memory at a time.
func smallest(data []byte, small bool) ([]byte, error) {
	if small {
		var quick counter
		if err := squeeze(&quick, data); err != nil {
			return nil, err
		}
		if z := deflate.Zlib(data); len(z) < int(quick) {
			return z, nil
		}
	}
	var z bytes.Buffer
	err := squeeze(&z, data)
	return z.Bytes(), err
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// squeeze packs data quickly.
func squeeze(to io.Writer, data []byte) error {
	w, err := zlib.NewWriterLevel(to, zlib.BestCompression)
	if err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("deflate: %w", err)
	}
	return nil
}

// A progress chart tells how far a stream is inflated after how many of its
// bytes: points of which both rise, taken as linear in between.
type progressChart []chartPoint

type chartPoint struct{ in, out int }

// zlib's frame around the deflate stream.
const (
	zlibHeader  = 2
	zlibTrailer = 4
)

// chart makes the chart of z by inflating it, which must give data.
func chart(z, data []byte) (progressChart, error) {
	if len(z) <= zlibHeader+zlibTrailer {
		return nil, errors.New("zlib stream too short")
	}
	in := bytes.NewReader(z[zlibHeader : len(z)-zlibTrailer])
	r := flate.NewReader(in)
	window := make([]byte, 32<<10)
	c := progressChart{{0, 0}}
	out := 0
	for {
		n, err := r.Read(window)
		if !bytes.HasPrefix(data[out:], window[:n]) {
			return nil, errors.New("inflate own stream: it is not what was packed")
		}
		out += n
		if pos := len(z) - zlibTrailer - in.Len(); pos > c[len(c)-1].in && n > 0 {
			c = append(c, chartPoint{pos, out})
		}
		if errors.Is(err, io.EOF) {
			if out != len(data) {
				return nil, errors.New("inflate own stream: it ends early")
			}
			return append(c, chartPoint{len(z), out}), nil
		}
		if err != nil {
			return nil, fmt.Errorf("inflate own stream: %w", err)
		}
	}
}

// out is how much is inflated after in bytes.
func (c progressChart) out(in int) int {
	i := sort.Search(len(c)-1, func(i int) bool { return c[i+1].in >= in })
	a, b := c[i], c[min(i+1, len(c)-1)]
	if b.in <= a.in {
		return b.out
	}
	return a.out + (b.out-a.out)*(in-a.in)/(b.in-a.in)
}

// in is how many bytes inflate to out.
func (c progressChart) in(out int) int {
	i := sort.Search(len(c)-1, func(i int) bool { return c[i+1].out >= out })
	a, b := c[i], c[min(i+1, len(c)-1)]
	if b.out <= a.out {
		return b.in
	}
	return a.in + (b.in-a.in)*(out-a.out)/(b.out-a.out)
}

// cut divides z, which inflates to size bytes, into blocks of at most stubBlock
// bytes that inflate to about maxInflated at most.
//
// With each block that it takes the stub begins to erase the next 64 KiB, if the
// flash is not at work, and a window that is full waits for that erase. Where a
// block does both, which blocks of full size do nearly each, they take longer
// than the next block does on the line. So as long as there is something to
// erase, the end of a window is a small block of its own: the large one before
// begins the erase, most of which is over when the next large one has come.
func (c progressChart) cut(z []byte, size int) []streamBlock {
	const least = 16 // a block smaller than its frame is not worth sending
	var blocks []streamBlock
	for start := 0; start < len(z); {
		end := min(start+stubBlock, c.in(c.out(start)+maxInflated), len(z))
		if w := c.out(start) / stubWindow; w < size/blockErase {
			end = min(end, c.beforeWrite(start, w))
		}
		end = min(max(end, start+least), len(z))
		blocks = append(blocks, streamBlock{data: z[start:end], end: c.out(end)})
		start = end
	}
	return blocks
}

// beforeWrite is where the block from start on, in window w, is to end so that
// the last block of the window is small. A window that is on the line for less
// time than its erase takes gains nothing by that.
func (c progressChart) beforeWrite(start, w int) int {
	begin, end := c.in(w*stubWindow), c.in((w+1)*stubWindow)
	switch {
	case end-begin < stubBlock/2:
		return start + stubBlock
	case end-start <= 2*lastOfWindow:
		return end
	}
	return end - lastOfWindow
}

// Ahead is content that is deflated before it is needed; see Pack.
type Ahead struct {
	sum    [sha256.Size]byte // of the content, which is not kept
	size   int
	done   chan struct{}
	stream *stream
	err    error
}

// Pack starts to deflate data in the background, for a Write of the same data
// later, quickly: the chip is waiting. data must not be changed; where it is
// empty there is nothing to do and the result is nil, which every method takes.
func Pack(data []byte) *Ahead { return packAhead(data, false) }

// PackSmall is Pack for when there is time: it takes about a second a megabyte
// of one core, and saves some per cent of the time on the line.
func PackSmall(data []byte) *Ahead { return packAhead(data, true) }

func packAhead(data []byte, small bool) *Ahead {
	if len(data) == 0 {
		return nil
	}
	a := &Ahead{size: len(data), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.sum = sha256.Sum256(data)
		a.stream, a.err = pack(data, small)
	}()
	return a
}

// Wait ends when the background work has. It is bounded by the CPU's speed.
func (a *Ahead) Wait() {
	if a != nil {
		<-a.done
	}
}

// of returns the stream of data, if that is what was packed ahead.
func (a *Ahead) of(data []byte) (*stream, error) {
	if a == nil || a.size != len(data) {
		return pack(data, false)
	}
	<-a.done
	if a.sum != sha256.Sum256(data) {
		return pack(data, false)
	}
	return a.stream, a.err
}
