package serialport

// Telnet commands (RFC 854) and options (RFC 856, 857, 858, 2217).
const (
	tnSE   = 240
	tnSB   = 250
	tnWill = 251
	tnWont = 252
	tnDo   = 253
	tnDont = 254
	tnIAC  = 255

	optBinary  = 0
	optSGA     = 3
	optComPort = 44
)

// maxSubnegotiation bounds the payload of one subnegotiation. RFC 2217's own
// have 4 bytes, its SIGNATURE text has no bound; a longer one is skipped.
const maxSubnegotiation = 64

// tnEvent is what the peer said beside data: a negotiation (verb and option)
// or, with verb tnSB, a subnegotiation with its payload.
type tnEvent struct {
	verb, option byte
	payload      []byte
}

// telnet takes a telnet stream apart, however it is cut into pieces. Its
// memory does not depend on what the peer sends. The zero value is ready.
type telnet struct {
	state   tnState
	verb    byte
	sub     []byte // option and payload of the subnegotiation under way
	tooLong bool
}

type tnState uint8

const (
	inData tnState = iota
	afterIAC
	afterVerb   // WILL, WONT, DO, DONT: the option follows
	inSub       // within IAC SB … IAC SE
	afterSubIAC // IAC within a subnegotiation
)

// feed reads in and appends its data bytes to data, with IAC IAC taken as one
// 0xFF. Commands without a meaning here (NOP, GA…) are dropped. Payloads are
// copies.
func (t *telnet) feed(in, data []byte) ([]byte, []tnEvent) {
	var events []tnEvent
	for _, b := range in {
		switch t.state {
		case inData:
			if b == tnIAC {
				t.state = afterIAC
			} else {
				data = append(data, b)
			}
		case afterIAC:
			if b == tnIAC {
				data = append(data, b)
			}
			t.command(b)
		case afterVerb:
			events = append(events, tnEvent{verb: t.verb, option: b})
			t.state = inData
		case inSub:
			if b == tnIAC {
				t.state = afterSubIAC
			} else {
				t.collect(b)
			}
		case afterSubIAC:
			switch b {
			case tnIAC:
				t.collect(b)
				t.state = inSub
			case tnSE:
				if len(t.sub) > 0 && !t.tooLong {
					payload := append([]byte(nil), t.sub[1:]...)
					events = append(events, tnEvent{verb: tnSB, option: t.sub[0], payload: payload})
				}
				t.state = inData
			default: // not closed: the command that stands there counts
				t.command(b)
			}
		}
	}
	return data, events
}

// command takes the byte after an IAC.
func (t *telnet) command(b byte) {
	switch b {
	case tnWill, tnWont, tnDo, tnDont:
		t.verb, t.state = b, afterVerb
	case tnSB:
		t.sub, t.tooLong, t.state = t.sub[:0], false, inSub
	default:
		t.state = inData
	}
}

func (t *telnet) collect(b byte) {
	if len(t.sub) > maxSubnegotiation {
		t.tooLong = true
		return
	}
	t.sub = append(t.sub, b)
}

// escapeTelnet appends p to dst with each 0xFF doubled.
func escapeTelnet(dst, p []byte) []byte {
	for _, b := range p {
		if b == tnIAC {
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return dst
}

// comPort is an RFC 2217 subnegotiation from the client.
func comPort(command byte, value ...byte) []byte {
	out := escapeTelnet([]byte{tnIAC, tnSB, optComPort, command}, value)
	return append(out, tnIAC, tnSE)
}
