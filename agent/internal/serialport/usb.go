package serialport

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// USB identifies the adapter behind a tty, as its descriptor says.
type USB struct {
	VID, PID uint16
	Product  string // cleaned and cut
}

// The adapters that need a reset of their own.
var (
	// Espressif's USB-Serial-JTAG inside ESP32-S3, C3, C6…
	usbJTAG = USB{VID: 0x303A, PID: 0x1001}
	// Silicon Labs CP2102C, whose CTS input hangs on the chip's RTS.
	cp2102c = USB{VID: 0x10C4, PID: 0xEA64}
)

func (u USB) is(other USB) bool { return u.VID == other.VID && u.PID == other.PID }

// Device is a serial device of this machine.
type Device struct {
	Path string
	USB  USB // zero: not on USB
}

// String is the path, with USB id and product where it has them.
func (d Device) String() string {
	if d.USB == (USB{}) {
		return d.Path
	}
	return strings.TrimSpace(fmt.Sprintf("%s (%04X:%04X %s", d.Path, d.USB.VID, d.USB.PID, d.USB.Product)) + ")"
}

const sysfs = "/sys"

// maxDevices bounds the list that an error prints.
const maxDevices = 16

// Devices lists the serial devices of this machine, at most 16. It reads
// sysfs alone. The enumerator of go.bug.st/serial would open every ttyS and
// set it to 9600 baud to see whether it is real, which on a robot disturbs
// whoever uses that port.
func Devices() []Device { return devicesIn(sysfs) }

func devicesIn(sys string) []Device {
	names, err := filepath.Glob(filepath.Join(sys, "class/tty/*/device"))
	if err != nil {
		return nil
	}
	var out []Device
	for _, n := range names {
		dir := filepath.Dir(n)
		// An 8250 slot without a UART behind it has type 0 (PORT_UNKNOWN).
		if readLine(filepath.Join(dir, "type")) == "0" {
			continue
		}
		name := filepath.Base(dir)
		usb, _ := usbOf(sys, name)
		if out = append(out, Device{Path: "/dev/" + name, USB: usb}); len(out) == maxDevices {
			break
		}
	}
	return out
}

// usbOf finds the USB device above a tty: the first parent of its device that
// has a vendor id. A usb-serial port lies two levels below it, a CDC-ACM one.
func usbOf(sys, tty string) (USB, bool) {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/tty", tty, "device"))
	if err != nil {
		return USB{}, false
	}
	for range 4 {
		vid, errV := strconv.ParseUint(readLine(filepath.Join(dir, "idVendor")), 16, 16)
		pid, errP := strconv.ParseUint(readLine(filepath.Join(dir, "idProduct")), 16, 16)
		if errV == nil && errP == nil {
			return USB{VID: uint16(vid), PID: uint16(pid), Product: clean(readLine(filepath.Join(dir, "product")), 60)}, true
		}
		dir = filepath.Dir(dir)
	}
	return USB{}, false
}

// readLine gives the first line of a small sysfs file, or "".
func readLine(path string) string {
	b, err := readBounded(path, 256)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// readBounded reads at most limit bytes of a file and drops the rest.
func readBounded(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, limit)
	n := 0
	for n < limit {
		m, err := f.Read(buf[n:])
		n += m
		if err != nil || m == 0 {
			break
		}
	}
	return buf[:n], nil
}

// clean makes foreign text fit for a message: printable, one line, cut.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return s
}
