package esprom

import (
	"bytes"
	"strings"
)

// Heard is what a line that gives no sound reply says instead.
type Heard string

// What was heard.
const (
	HeardNothing  Heard = "nothing"
	HeardApp      Heard = "app"      // the boot log of a normal start, or an application's log
	HeardDownload Heard = "download" // the ROM says it waits for download, yet does not answer
	HeardGarbage  Heard = "garbage"  // bytes that are neither text nor frames
	HeardFrames   Heard = "frames"   // sound frames, but no answer to SYNC
)

func (h Heard) advice() string {
	switch h {
	case HeardApp:
		return "the chip runs its application instead of the bootloader; the reset did not hold BOOT low, check the DTR/RTS (or GPIO) wiring and the configured reset"
	case HeardDownload:
		return "the bootloader says that it waits, but does not hear us; check the wire from our TX to the chip's RX"
	case HeardGarbage:
		return "only garbage came; the chip probably talks at another speed, or another program uses the port, or the line is noisy"
	case HeardFrames:
		return "frames came, but no answer to SYNC; another program may be using the port"
	case HeardNothing:
		fallthrough
	default:
		return "nothing came; check the cable, the chip's power, that this is the right port, and the configured reset"
	}
}

// ear keeps the last bytes heard since the last reset.
type ear struct {
	tail   []byte
	frames int // sound frames among them
}

const earSize = 2048

func (e *ear) hear(p []byte) {
	e.tail = append(e.tail, p...)
	if len(e.tail) > 2*earSize {
		e.tail = append(e.tail[:0], e.tail[len(e.tail)-earSize:]...)
	}
}

func (e *ear) reset() { e.tail, e.frames = e.tail[:0], 0 }

// Marks in a ROM's boot log and in logs of ESP-IDF applications.
var (
	markWaiting = []byte("waiting for download")
	appMarks    = [][]byte{
		[]byte("SPI_FAST_FLASH_BOOT"), []byte("SPI_FLASH_BOOT"), []byte("entry 0x"),
		[]byte("I (boot)"), []byte("boot: "), []byte("cpu_start"), []byte("app_init"),
		[]byte("invalid header"), []byte("flash read err"),
	}
)

// appBoots: the ROM has said that it starts what is in the flash.
func appBoots(heard []byte) bool { return bytes.Contains(heard, []byte("FLASH_BOOT)")) }

// classify tells what p, heard while no loader answered, most probably is.
func classify(p []byte, frames int) Heard {
	if len(p) == 0 {
		return HeardNothing
	}
	if bytes.Contains(p, markWaiting) {
		return HeardDownload
	}
	for _, m := range appMarks {
		if bytes.Contains(p, m) {
			return HeardApp
		}
	}
	if frames > 0 {
		return HeardFrames
	}
	if text := printable(p); len(p) >= 16 && text*10 >= len(p)*9 {
		return HeardApp
	}
	return HeardGarbage
}

func printable(p []byte) int {
	n := 0
	for _, b := range p {
		if b >= 0x20 && b < 0x7F || b == '\r' || b == '\n' || b == '\t' || b == 0x1B {
			n++
		}
	}
	return n
}

// sample returns the end of p with what is not printable as dots.
func sample(p []byte) string {
	const most = 80
	p = p[max(0, len(p)-most):]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7E {
			return '.'
		}
		return r
	}, latin1(p)))
}

func latin1(p []byte) string {
	r := make([]rune, len(p))
	for i, b := range p {
		r[i] = rune(b)
	}
	return string(r)
}
