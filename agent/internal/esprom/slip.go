package esprom

// SLIP framing (RFC 1055) as the loaders use it: a frame stands between two
// 0xC0; inside it 0xC0 is DB DC and 0xDB is DB DD.
const (
	slipEnd    = 0xC0
	slipEsc    = 0xDB
	slipEscEnd = 0xDC
	slipEscEsc = 0xDD
)

// maxFrame bounds a received frame. The largest sound one is a READ_FLASH data
// packet of 4096 bytes.
const maxFrame = 4096 + 64

// appendFrame appends the parts, escaped, as one frame to dst.
func appendFrame(dst []byte, parts ...[]byte) []byte {
	dst = append(dst, slipEnd)
	for _, p := range parts {
		dst = appendEscaped(dst, p)
	}
	return append(dst, slipEnd)
}

func appendEscaped(dst, p []byte) []byte {
	start := 0
	for i, b := range p {
		if b != slipEnd && b != slipEsc {
			continue
		}
		dst = append(dst, p[start:i]...)
		if b == slipEnd {
			dst = append(dst, slipEsc, slipEscEnd)
		} else {
			dst = append(dst, slipEsc, slipEscEsc)
		}
		start = i + 1
	}
	return append(dst, p[start:]...)
}

// decoder cuts a byte stream into frames. Every 0xC0 is taken as a border, so
// one that noise added or removed costs at most the frames beside it; what
// stands between two borders is for the parser to accept or not.
type decoder struct {
	buf     []byte
	started bool // a border has been seen
	escaped bool // the last byte was 0xDB
	broken  bool // bad escape or too long: drop up to the next border
}

// feed consumes bytes of p up to the end of the first frame in it. It returns
// how many it consumed and that frame, or nil when p held no end of one. The
// frame is valid until the next call.
func (d *decoder) feed(p []byte) (n int, frame []byte) {
	if len(d.buf) == 0 && cap(d.buf) == 0 {
		d.buf = make([]byte, 0, maxFrame)
	}
	for i, b := range p {
		if b == slipEnd {
			if f := d.border(); f != nil {
				return i + 1, f
			}
			continue
		}
		if d.started && !d.broken {
			d.put(b)
		}
	}
	return len(p), nil
}

// border ends the present frame and starts the next; it returns the ended one
// if it is whole and not empty.
func (d *decoder) border() []byte {
	sound := d.started && !d.broken && !d.escaped && len(d.buf) > 0
	frame := d.buf
	d.buf, d.started, d.broken, d.escaped = d.buf[:0], true, false, false
	if !sound {
		return nil
	}
	return frame
}

func (d *decoder) put(b byte) {
	if d.escaped {
		d.escaped = false
		switch b {
		case slipEscEnd:
			b = slipEnd
		case slipEscEsc:
			b = slipEsc
		default:
			d.broken = true
			return
		}
	} else if b == slipEsc {
		d.escaped = true
		return
	}
	if len(d.buf) == maxFrame {
		d.broken = true
		return
	}
	d.buf = append(d.buf, b)
}

// reset forgets a frame that has begun.
func (d *decoder) reset() {
	d.buf, d.started, d.broken, d.escaped = d.buf[:0], false, false, false
}
