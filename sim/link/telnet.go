package link

// Telnet (RFC 854) as far as RFC 2217 needs it.
const (
	iac  = 255
	dont = 254
	do   = 253
	wont = 252
	will = 251
	sb   = 250
	se   = 240

	optBinary  = 0
	optEcho    = 1
	optSGA     = 3
	optComPort = 44
)

// maxSub bounds a subnegotiation: RFC 2217's longest is a signature.
const maxSub = 256

type telnetState uint8

const (
	inData telnetState = iota
	inIAC
	inOption
	inSub
	inSubIAC
)

// telnet takes a client's bytes apart.
type telnet struct {
	state telnetState
	verb  byte
	sub   []byte
	over  bool // the subnegotiation is longer than any of ours
}

// handler is what a telnet stream consists of.
type handler interface {
	data(p []byte)
	option(verb, opt byte)
	sub(p []byte)
}

// feed hands p's contents to h, data in runs as long as they come.
func (t *telnet) feed(p []byte, h handler) {
	run := make([]byte, 0, len(p))
	flush := func() {
		if len(run) > 0 {
			h.data(run)
			run = run[:0]
		}
	}
	for _, b := range p {
		switch t.state {
		case inData:
			if b == iac {
				t.state = inIAC
			} else {
				run = append(run, b)
			}
		case inIAC:
			t.state = inData
			switch b {
			case iac:
				run = append(run, iac)
			case will, wont, do, dont:
				t.verb, t.state = b, inOption
			case sb:
				t.sub, t.over, t.state = t.sub[:0], false, inSub
			}
		case inOption:
			flush()
			h.option(t.verb, b)
			t.state = inData
		case inSub:
			if b == iac {
				t.state = inSubIAC
			} else {
				t.add(b)
			}
		case inSubIAC:
			switch b {
			case se:
				t.state = inData
				if !t.over {
					flush()
					h.sub(t.sub)
				}
			case iac:
				t.state = inSub
				t.add(iac)
			default: // not telnet: take it for the end
				t.state = inData
			}
		}
	}
	flush()
}

func (t *telnet) add(b byte) {
	if len(t.sub) >= maxSub {
		t.over = true
		return
	}
	t.sub = append(t.sub, b)
}

// escape doubles IAC.
func escape(dst, p []byte) []byte {
	for _, b := range p {
		if b == iac {
			dst = append(dst, iac)
		}
		dst = append(dst, b)
	}
	return dst
}
