package delta

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Make gives the patch that makes result of base, both signed images or at
// least not empty and not larger than [MaxSize]. It takes memory of about 12
// times the larger of them, and 30 MiB. A patch may be larger than the result: it is for
// the caller to look whether it is worth while.
func Make(ctx context.Context, base, result []byte) ([]byte, error) {
	for _, b := range [][]byte{base, result} {
		if len(b) == 0 || len(b) > MaxSize {
			return nil, fmt.Errorf("make a patch: an image has %d bytes, want 1 to %d", len(b), MaxSize)
		}
	}
	steps, err := plan(ctx, base, result)
	if err != nil {
		return nil, fmt.Errorf("make a patch: %w", err)
	}
	if len(steps) > maxSteps {
		return nil, fmt.Errorf("make a patch: the images have too little in common (%d pieces)", len(steps))
	}
	s := script{steps: steps}
	s.kinds, s.base, s.result = layouts(base, result)
	h := Header{Base: sha256.Sum256(base), Result: sha256.Sum256(result), BaseSize: uint32(len(base)), ResultSize: uint32(len(result))}
	c, literals := s.corrections(base, result)
	packed, err := pack([streams][]byte{s.encode(), c.gaps, c.runs, c.values, literals})
	if err != nil {
		return nil, fmt.Errorf("make a patch: %w", err)
	}
	for i, b := range packed {
		h.stream[i] = uint32(len(b))
	}
	out := h.appendTo(nil)
	for _, b := range packed {
		out = append(out, b...)
	}
	return out, nil
}

// layouts gives the segments of two signed images, and what in them can be
// worked out anew; nothing where they are no app images of one chip.
func layouts(base, result []byte) (kinds, []segment, []segment) {
	from, fromChip, ok1 := layout(base)
	to, toChip, ok2 := layout(result)
	if !ok1 || !ok2 || fromChip != toChip {
		return 0, nil, nil
	}
	if toChip == image.ESP32 || toChip == image.ESP32S2 || toChip == image.ESP32S3 {
		return pointers | xtensa, from, to
	}
	return pointers, from, to // RISC-V
}

func layout(signed []byte) ([]segment, image.ChipID, bool) {
	if len(signed) <= image.HeaderSize {
		return nil, 0, false
	}
	app, err := image.ParseApp(signed[image.HeaderSize:])
	if err != nil || len(app.Segments) > maxSegments {
		return nil, 0, false
	}
	var out []segment
	for _, g := range app.Segments {
		out = append(out, segment{image.HeaderSize + g.Offset, g.Addr, g.Size})
	}
	return out, app.Chip, true
}

// corrections are what the predictor has wrong.
type corrections struct {
	gaps, runs, values []byte
	gap, run           uint64 // that are not written yet
}

func (c *corrections) add(predicted, right []byte) {
	for i, b := range predicted {
		if d := right[i] - b; d != 0 {
			c.values = append(c.values, d)
			c.run++
			continue
		}
		c.flush()
		c.gap++
	}
}

func (c *corrections) flush() {
	if c.run == 0 {
		return
	}
	c.gaps = binary.AppendUvarint(c.gaps, c.gap)
	c.runs = binary.AppendUvarint(c.runs, c.run)
	c.gap, c.run = 0, 0
}

// corrections gives them, and the literal bytes.
func (s script) corrections(base, result []byte) (c corrections, literals []byte) {
	p := newPredictor(base, s)
	buf := make([]byte, chunk)
	from, to := 0, 0
	for _, x := range s.steps {
		for left := int(x.copied); left > 0; {
			b := buf[:min(left, chunk)]
			p.fill(b, uint32(from), uint32(to))
			c.add(b, result[to:])
			from, to, left = from+len(b), to+len(b), left-len(b)
		}
		literals = append(literals, result[to:to+int(x.literal)]...)
		to += int(x.literal)
		from += int(x.seek)
	}
	c.flush()
	return c, literals
}
