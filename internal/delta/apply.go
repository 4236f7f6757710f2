package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// Apply writes to w what the patch makes of base. It refuses a base that is not
// the patch's, and says so when what it wrote is not what the patch promises;
// w holds bytes that nobody may use then. Those errors wrap [ErrPatch]. Besides
// base and patch it takes memory of a quarter of the base and about 8 MiB,
// whatever the patch says.
func Apply(ctx context.Context, w io.Writer, base, patch []byte) error {
	h, err := ParseHeader(patch, int64(len(patch)))
	if err != nil {
		return err
	}
	if uint32(len(base)) != h.BaseSize || sha256.Sum256(base) != h.Base {
		return badf("it is for another base")
	}
	var in [streams]*reader
	rest := patch[HeaderSize:]
	for i, n := range h.stream {
		if in[i], err = newReader(bytes.NewReader(rest[:n])); err != nil {
			return err
		}
		defer in[i].close()
		rest = rest[n:]
	}
	s, err := readScript(in[0], h.BaseSize, h.ResultSize)
	if err != nil {
		return err
	}
	sum := sha256.New()
	if err := s.build(ctx, io.MultiWriter(w, sum), base, &corrector{gaps: in[1], runs: in[2], values: in[3]}, in[4]); err != nil {
		return err
	}
	for _, r := range in {
		if err := r.end(); err != nil {
			return err
		}
	}
	if [32]byte(sum.Sum(nil)) != h.Result {
		return badf("what it makes is not what it promises")
	}
	return nil
}

// build writes the result.
func (s script) build(ctx context.Context, w io.Writer, base []byte, c *corrector, literals *reader) error {
	p := newPredictor(base, s)
	buf := make([]byte, chunk)
	write := func(b []byte, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("rebuild the image: %w", err)
		}
		return nil
	}
	from, to := uint32(0), uint32(0)
	for _, x := range s.steps {
		for left := x.copied; left > 0; {
			b := buf[:min(left, chunk)]
			p.fill(b, from, to)
			if err := write(b, c.correct(b)); err != nil {
				return err
			}
			n := uint32(len(b))
			from, to, left = from+n, to+n, left-n
		}
		for left := x.literal; left > 0; {
			b := buf[:min(left, chunk)]
			literals.fill(b)
			if err := write(b, literals.err); err != nil {
				return err
			}
			n := uint32(len(b))
			to, left = to+n, left-n
		}
		from = uint32(int64(from) + x.seek)
	}
	return c.end()
}

// corrector puts right what the predictor has wrong.
type corrector struct {
	gaps, runs, values *reader

	gap, run uint64 // bytes that are left of them
	over     bool   // no gap follows any more
}

// next reads the next gap and run, where there is one.
func (c *corrector) next() error {
	if _, err := c.gaps.in.Peek(1); err == io.EOF { //nolint:errorlint // Peek gives it as it is
		c.over = true
		return nil
	}
	c.gap, c.run = c.gaps.number(maxGap), c.runs.number(maxGap)
	if c.run == 0 {
		c.runs.fail(badf("a correction of no bytes"))
	}
	if c.gaps.err != nil {
		return c.gaps.err
	}
	return c.runs.err
}

func (c *corrector) correct(b []byte) error {
	var add [256]byte
	for len(b) > 0 {
		if c.gap == 0 && c.run == 0 && !c.over {
			if err := c.next(); err != nil {
				return err
			}
		}
		if c.over {
			return nil
		}
		n := min(c.gap, uint64(len(b)))
		c.gap -= n
		b = b[n:]
		if c.gap > 0 {
			continue
		}
		n = min(c.run, uint64(len(b)), uint64(len(add)))
		c.values.fill(add[:n])
		if c.values.err != nil {
			return c.values.err
		}
		for i := range n {
			b[i] += add[i]
		}
		c.run -= n
		b = b[n:]
	}
	return nil
}

// end makes sure that all corrections were made.
func (c *corrector) end() error {
	if c.gap != 0 || c.run != 0 {
		return badf("it corrects bytes that are not there")
	}
	return nil
}
