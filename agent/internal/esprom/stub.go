package esprom

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

//go:embed stub
var embeddedStubs embed.FS

const (
	// ramBlock is the size of a MEM_DATA block; a ROM on USB-OTG takes less.
	ramBlock    = 0x1800
	ramBlockOTG = 0x800
	// Bounds of a stub image. Real ones have about 12 KiB.
	maxStubFile    = 256 << 10
	maxStubSegment = 64 << 10
	// stubStart is how long a stub may take from MEM_END to its greeting.
	stubStart = time.Second
)

var stubGreeting = []byte("OHAI")

// errStubStart: the stub was uploaded but does not run.
var errStubStart = errors.New("start stub")

// errNoStub: there is no stub image for the chip.
var errNoStub = errors.New("no stub image")

// stubImage is a program for the chip's RAM.
type stubImage struct {
	entry    uint32
	segments []stubSegment
}

type stubSegment struct {
	addr uint32
	data []byte
}

// parseStub reads a stub image from its JSON form.
func parseStub(b []byte) (stubImage, error) {
	var f struct {
		Entry     uint32  `json:"entry"`
		Text      []byte  `json:"text"`
		TextStart uint32  `json:"text_start"`
		Data      []byte  `json:"data"`
		DataStart *uint32 `json:"data_start"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return stubImage{}, fmt.Errorf("stub image: %w", err)
	}
	img := stubImage{entry: f.Entry, segments: []stubSegment{{f.TextStart, f.Text}}}
	if len(f.Data) > 0 {
		if f.DataStart == nil {
			return stubImage{}, errors.New("stub image: data without data_start")
		}
		img.segments = append(img.segments, stubSegment{*f.DataStart, f.Data})
	}
	for _, s := range img.segments {
		if len(s.data) == 0 || len(s.data) > maxStubSegment {
			return stubImage{}, fmt.Errorf("stub image: segment of %d bytes, want 1 to %d", len(s.data), maxStubSegment)
		}
		if s.addr == 0 || s.addr > ^uint32(0)-maxStubSegment {
			return stubImage{}, fmt.Errorf("stub image: segment at %#x", s.addr)
		}
	}
	text := img.segments[0]
	if img.entry < text.addr || img.entry-text.addr >= uint32(len(text.data)) {
		return stubImage{}, fmt.Errorf("stub image: entry %#x is outside its code", img.entry)
	}
	return img, nil
}

// loadStub finds the image for ch. It is errNoStub when there is none.
func loadStub(from fs.FS, ch *chip) (stubImage, error) {
	if from == nil {
		sub, err := fs.Sub(embeddedStubs, "stub")
		if err != nil {
			return stubImage{}, err
		}
		from = sub
	}
	f, err := from.Open(ch.stub + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return stubImage{}, errNoStub
	}
	if err != nil {
		return stubImage{}, fmt.Errorf("stub image: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStubFile+1))
	if err != nil {
		return stubImage{}, fmt.Errorf("stub image: %w", err)
	}
	if len(b) > maxStubFile {
		return stubImage{}, fmt.Errorf("stub image: more than %d bytes", maxStubFile)
	}
	return parseStub(b)
}

// uploadTries bounds how often a segment is begun again. What is uploaded has
// no checksum but each block's own, so after any doubt it is sent anew.
const uploadTries = 3

// startStub uploads the stub through the ROM and starts it.
func (c *connector) startStub(ctx context.Context, img stubImage, blockSize int) error {
	for _, s := range img.segments {
		err := c.upload(ctx, s, blockSize)
		for n := 1; err != nil && !fatal(err) && n < uploadTries; n++ {
			c.log.Debug("stub upload failed; sending it again", "error", err)
			if err = c.resync(ctx); err == nil {
				err = c.upload(ctx, s, blockSize)
			}
		}
		if err != nil && !isNoise(err) {
			return fmt.Errorf("%w: the ROM does not take it: %w", errStubStart, err)
		}
		if err != nil {
			return fmt.Errorf("upload stub: %w", err)
		}
	}
	end := request{op: opMemEnd, args: words(0, img.entry)}
	c.link.wbuf = end.appendTo(c.link.wbuf[:0])
	if err := c.link.send(c.link.wbuf); err != nil {
		return err
	}
	return c.awaitGreeting(ctx)
}

// awaitGreeting waits for the stub to say that it runs. The ROM's reply to
// MEM_END may get lost in the jump, so it is not waited for.
func (c *connector) awaitGreeting(ctx context.Context) error {
	deadline := time.Now().Add(stubStart)
	for range maxIgnored {
		f, err := c.link.frame(ctx, deadline)
		if err != nil {
			return err
		}
		if f == nil {
			break
		}
		if bytes.Equal(f, stubGreeting) {
			c.stub = true
			return nil
		}
		if r, ok := parseReply(f); ok && r.op == opMemEnd {
			if _, err := r.result(0, false); err != nil {
				return fmt.Errorf("start stub: %w", err)
			}
		}
	}
	return fmt.Errorf("%w: no greeting within %v: %w", errStubStart, stubStart, ErrSilent)
}

// upload writes one segment to RAM.
func (c *connector) upload(ctx context.Context, s stubSegment, blockSize int) error {
	blocks := (len(s.data) + blockSize - 1) / blockSize
	begin := words(uint32(len(s.data)), uint32(blocks), uint32(blockSize), s.addr)
	if err := c.run(ctx, request{op: opMemBegin, args: begin}); err != nil {
		return err
	}
	for seq := range blocks {
		data := s.data[seq*blockSize : min((seq+1)*blockSize, len(s.data))]
		p, err := c.link.request(ctx, block(opMemData, uint32(seq), data), c.wireTime(len(data))+askTimeout)
		if err != nil {
			return err
		}
		if _, err := p.result(0, false); err != nil {
			return err
		}
	}
	return nil
}

// wireTime is how long n bytes take on the line, with a margin for escapes.
func (c *connector) wireTime(n int) time.Duration {
	baud := c.baud
	if baud == 0 {
		baud = romBaud // the port does not tell; hardly slower
	}
	return time.Duration(n) * 12 * time.Second / time.Duration(baud)
}
