package esprom

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// peer is a loader by script: it answers every request well, unless the script
// has something else for it, and writes down what it was asked.
type peer struct {
	stub   bool
	asked  []string
	script map[string][]answer // by how the request is written down; used one by one
	flash  []byte              // what it hashes

	dec  decoder
	rx   []byte
	wait time.Duration
	baud int
}

// answer is what comes back for a request: frames, raw bytes, or nothing.
type answer string

const (
	silence answer = "silence"
	late    answer = "late" // the good answer, after everybody gave up
	twice   answer = "twice"
)

// fails is a status.
func fails(code byte) answer { return answer(fmt.Sprintf("fails %02x", code)) }

func (p *peer) SetReadTimeout(d time.Duration) error { p.wait = d; return nil }
func (p *peer) SetBaud(b int) error                  { p.baud = b; return nil }
func (p *peer) ResetInput() error                    { p.rx = nil; return nil }

func (p *peer) Read(b []byte) (int, error) {
	if len(p.rx) == 0 {
		time.Sleep(p.wait)
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, p.rx)
	p.rx = p.rx[n:]
	return n, nil
}

func (p *peer) Write(b []byte) (int, error) {
	n := len(b)
	if len(b) > 1 && b[0] == slipEnd && b[1] == slipEnd {
		p.asked = append(p.asked, "spare border")
	}
	for len(b) > 0 {
		used, f := p.dec.feed(b)
		b = b[used:]
		if f != nil {
			p.serve(f)
		}
	}
	return n, nil
}

func (p *peer) serve(f []byte) {
	op, args := f[1], f[headerSize:]
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(args[4*i:]) }
	note := opName(op)
	switch op {
	case opFlashData, opDeflData, opMemData:
		note += fmt.Sprintf(" %d", word(1))
	case opFlashBegin, opDeflBegin:
		note += fmt.Sprintf(" %#x %d words", word(3), len(args)/4)
	case opChangeBaud:
		note += fmt.Sprintf(" %d %d", word(0), word(1))
	case opSPIAttach:
		note += fmt.Sprintf(" %d words", len(args)/4)
	case opFlashMD5:
		note += fmt.Sprintf(" %#x+%d", word(0), word(1))
	}
	p.asked = append(p.asked, note)
	var a answer
	if s := p.script[note]; len(s) > 0 {
		a, p.script[note] = s[0], s[1:]
	}
	p.answer(a, op, args)
}

func (p *peer) answer(a answer, op byte, args []byte) {
	var code byte
	switch {
	case a == silence:
		return
	case a == twice:
		p.answer("", op, args)
	case len(a) > 6 && a[:6] == "fails ":
		b, err := hex.DecodeString(string(a[6:]))
		if err != nil {
			panic(err)
		}
		code = b[0]
	}
	times, value, data := 1, uint32(0), []byte(nil)
	switch op {
	case opSync:
		times = syncReplies
		if !p.stub {
			value = 0x20120707
		}
	case opFlashMD5:
		off, n := binary.LittleEndian.Uint32(args), binary.LittleEndian.Uint32(args[4:])
		sum := md5.Sum(p.flash[off : off+n])
		if data = sum[:]; !p.stub {
			data = []byte(hex.EncodeToString(sum[:]))
		}
	}
	for range times {
		p.rx = p.reply(p.rx, op, value, data, code)
	}
}

func (p *peer) reply(dst []byte, op byte, value uint32, data []byte, code byte) []byte {
	status := []byte{0, 0, 0, 0}
	if code != 0 {
		status, data = []byte{1, code, 0, 0}, nil
	}
	if p.stub {
		status = []byte{code, 0}
	}
	n := len(data) + len(status)
	h := binary.LittleEndian.AppendUint32([]byte{dirReply, op, byte(n), byte(n >> 8)}, value)
	return appendFrame(dst, h, data, status)
}

// session is one over p as Connect would leave it, in a state to write flash.
func (p *peer) session(chip *chip) *Session {
	log := slog.New(slog.DiscardHandler)
	p.baud = 921600
	return &Session{
		c:    &connector{link: newLink(p), reset: nobody{}, log: log, stub: p.stub, baud: p.baud, opts: Options{Baud: p.baud}},
		chip: chip, log: log, top: p.baud, info: Info{FlashSize: 1 << 20, Baud: p.baud},
	}
}

type nobody struct{}

func (nobody) Bootloader(context.Context, int) error { return nil }
func (nobody) Run(context.Context) error             { return nil }

// TestWriteProtocol: what goes over the line when an answer is not as hoped.
// The peer's flash holds the right content from the third hash on only, so that
// the write is not skipped.
func TestWriteProtocol(t *testing.T) {
	data := blockOf(2_000) // one sector, one sample; two ROM blocks, one stub block
	const md5Sample, begin, deflBegin = "SPI_FLASH_MD5 0x0+2000", "FLASH_BEGIN 0x0 5 words", "FLASH_DEFL_BEGIN 0x0 5 words"
	for _, tc := range []struct {
		name   string
		stub   bool
		chip   string
		script map[string][]answer
		asked  []string
	}{
		{
			"rom", false, "esp32s3", nil,
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom of the esp32 takes four words", false, "esp32", nil,
			[]string{md5Sample, "FLASH_BEGIN 0x0 4 words", "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom: checksum, sent again under the next number", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 0": {fails(romChecksum)}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 1", "FLASH_DATA 2", md5Sample},
		},
		{
			"rom: block lost, sent again under its own number", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 1": {silence}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 1", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom: answer lost, then out of sequence: it was taken", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 0": {silence, fails(romFormat)}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom: cut short, sent again as it was", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 0": {fails(romFormat)}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom: out of sequence for good, begun again", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 1": {fails(romFormat), fails(romFormat)}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 1", "FLASH_DATA 1", "SYNC", begin, "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"rom: flash reads back wrong, begun again", false, "esp32s3",
			map[string][]answer{"FLASH_DATA 1": {fails(0x08)}},
			[]string{md5Sample, begin, "FLASH_DATA 0", "FLASH_DATA 1", "SYNC", begin, "FLASH_DATA 0", "FLASH_DATA 1", md5Sample},
		},
		{
			"stub", true, "esp32s3", nil,
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: checksum, sent again under its own number", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_DATA 0": {fails(stubChecksum), fails(stubLength)}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_DATA 0", "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: not answered, never sent again: resync and begin anew", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_DATA 0": {silence}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "SYNC", deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: write failed, said with END", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_END": {fails(stubSPI)}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", "SYNC", md5Sample, md5Sample},
		},
		{
			"stub: write of an earlier block failed: not sent again, begun anew", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_DATA 0": {fails(stubSPI)}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "SYNC", deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: the late failure meets the sync", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_DATA 0": {silence}, "SYNC": {fails(stubSPI)}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "SYNC", "spare border", "SYNC", deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: first sync lost, the second has a border to spare", true, "esp32s3",
			map[string][]answer{"FLASH_DEFL_DATA 0": {silence}, "SYNC": {silence}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "SYNC", "spare border", "SYNC", deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: everything is answered twice", true, "esp32s3",
			map[string][]answer{md5Sample: {twice, twice}, deflBegin: {twice}, "FLASH_DEFL_DATA 0": {twice}, "FLASH_DEFL_END": {twice}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample},
		},
		{
			"stub: the proof fails, the parts are compared and written again", true, "esp32s3",
			map[string][]answer{md5Sample: {"", fails(stubSPI)}},
			[]string{md5Sample, deflBegin, "FLASH_DEFL_DATA 0", "FLASH_DEFL_END", md5Sample, "SYNC", md5Sample},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{stub: tc.stub, script: tc.script, flash: make([]byte, 1<<20)}
				var ch *chip
				for i := range chips {
					if chips[i].stub == tc.chip {
						ch = &chips[i]
					}
				}
				s := p.session(ch)
				// The content is right once all of it was sent.
				_, err := s.Write(t.Context(), 0, data, func(done, _ int) {
					if done == len(data) {
						copy(p.flash, data)
					}
				})
				if err != nil {
					t.Error(err)
				}
				if !slices.Equal(p.asked, tc.asked) {
					t.Errorf("asked %q\nwant  %q", p.asked, tc.asked)
				}
			})
		})
	}
}

// TestNeverRight: a flash that never holds what is written ends in an error.
func TestNeverRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{stub: true, flash: make([]byte, 1<<20)}
		_, err := p.session(chipByMagic(0x00F01D83)).Write(t.Context(), 0, blockOf(2_000), nil)
		if err == nil || len(p.asked) > 60 {
			t.Errorf("%v after %d requests", err, len(p.asked))
		}
		t.Log(err)
	})
}

func TestSetUpProtocol(t *testing.T) {
	for _, tc := range []struct {
		stub  bool
		asked []string
	}{
		{false, []string{"CHANGE_BAUDRATE 460800 0", "SYNC", "SPI_ATTACH 2 words", "SPI_SET_PARAMS"}},
		{true, []string{"CHANGE_BAUDRATE 460800 921600", "SYNC", "SPI_ATTACH 1 words", "SPI_SET_PARAMS"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &peer{stub: tc.stub}
			c := p.session(nil).c
			if err := c.changeBaud(t.Context(), 460800); err != nil || p.baud != 460800 {
				t.Errorf("port at %d baud, %v", p.baud, err)
			}
			if _, err := c.attachFlash(t.Context(), nil, 8<<20); err != nil {
				t.Error(err)
			}
			if !slices.Equal(p.asked, tc.asked) {
				t.Errorf("asked %q\nwant  %q", p.asked, tc.asked)
			}
		})
	}
}
