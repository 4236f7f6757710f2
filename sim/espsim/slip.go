package espsim

// SLIP as Espressif's loaders speak it (RFC 1055): a frame stands between two
// C0; inside it C0 is DB DC and DB is DB DD.
const (
	slipEnd    = 0xC0
	slipEsc    = 0xDB
	slipEscEnd = 0xDC
	slipEscEsc = 0xDD
)

// encodeFrame is p as a frame.
func encodeFrame(p []byte) []byte {
	out := make([]byte, 0, len(p)+len(p)/64+8)
	out = append(out, slipEnd)
	for _, b := range p {
		switch b {
		case slipEnd:
			out = append(out, slipEsc, slipEscEnd)
		case slipEsc:
			out = append(out, slipEsc, slipEscEsc)
		default:
			out = append(out, b)
		}
	}
	return append(out, slipEnd)
}

// deframer finds frames in a stream of bytes.
//
// C0 opens and closes, so a frame that lost its end takes the next one's
// start for it. The two loaders differ over a frame of no bytes: the ROM
// stays in it, so that a spare C0 is harmless; the stub leaves it, so that a
// spare C0 between frames turns inside and outside around until a frame is
// cut short.
type deframer struct {
	max    int  // longest frame taken
	sticky bool // the ROM's way with empty frames
	buf    []byte
	in     bool
	esc    bool
}

// byte takes the next byte and returns the frame it completes, if any. The
// frame is the caller's until the next call.
func (d *deframer) byte(b byte) (frame []byte, ok bool) {
	switch {
	case !d.in:
		if b == slipEnd {
			d.in, d.esc, d.buf = true, false, d.buf[:0]
		}
		return nil, false
	case d.esc:
		d.esc = false
		switch b {
		case slipEscEnd:
			d.put(slipEnd)
		case slipEscEsc:
			d.put(slipEsc)
		default: // no such escape: the frame is lost
			d.in = false
		}
		return nil, false
	case b == slipEnd:
		if len(d.buf) == 0 {
			d.in = d.sticky
			return nil, false
		}
		d.in = false
		return d.buf, true
	case b == slipEsc:
		d.esc = true
		return nil, false
	default:
		d.put(b)
		return nil, false
	}
}

func (d *deframer) put(b byte) {
	if len(d.buf) >= d.max {
		d.in = false // too long to be one of ours
		return
	}
	d.buf = append(d.buf, b)
}
