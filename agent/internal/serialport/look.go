package serialport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/warthog618/go-gpiocdev"
	"golang.org/x/sys/unix"
)

// Kind is what stands behind a device, as far as its name tells.
type Kind string

// The kinds of device.
const (
	Adapter Kind = "usb"  // with DTR and RTS
	Header  Kind = "uart" // of this computer: on a Raspberry Pi's header it has no DTR and RTS
	Pseudo  Kind = "pty"  // a pseudo-terminal: no DTR and RTS
)

// Node is a serial device as it lies in /dev, seen without being opened: to
// open it would raise its lines.
type Node struct {
	Path     string // symbolic links resolved
	Mode     fs.FileMode
	UID, GID uint32
	Kind     Kind
	USB      USB // zero: not on USB
}

// Look looks at a device. Errors: ErrNoDevice, which names those that exist,
// and ErrNotTTY.
func Look(port string) (Node, error) {
	dev, err := deviceOf(port)
	switch {
	case errors.Is(err, ErrNotTTY):
		return Node{}, err
	case err != nil:
		return Node{}, openError(port, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dev.path, &st); err != nil {
		return Node{}, openError(port, err)
	}
	n := Node{Path: dev.path, Mode: fs.FileMode(st.Mode & 0o777), UID: st.Uid, GID: st.Gid, Kind: Header}
	var usb bool
	n.USB, usb = usbOf(sysfs, filepath.Base(dev.path))
	if _, pts := dev.pts(); pts {
		n.Kind = Pseudo
	} else if usb || strings.HasPrefix(filepath.Base(dev.path), "ttyUSB") || strings.HasPrefix(filepath.Base(dev.path), "ttyACM") {
		n.Kind = Adapter
	}
	return n, nil
}

// JTAG says that the device is the chip's own USB-Serial-JTAG.
func (u USB) JTAG() bool { return u.is(usbJTAG) }

// vendors of adapters that udev/60-robot-ota.rules knows: Silicon Labs, WCH,
// FTDI, Espressif.
var vendors = []uint16{0x10C4, 0x1A86, 0x0403, 0x303A}

// Candidates are the devices of this machine that the udev rule may have named
// /dev/ota-esp32.
func Candidates() []Device {
	return slices.DeleteFunc(Devices(), func(d Device) bool { return !slices.Contains(vendors, d.USB.VID) })
}

// Pin is a GPIO line as the kernel tells of it.
type Pin struct {
	Offset   int
	Name     string // "GPIO17"; "" where it has none
	Used     bool
	Consumer string // who has it, as that calls itself
}

// Pins looks at lines of a GPIO chip without taking them. Errors wrap
// fs.ErrNotExist, fs.ErrPermission, or ErrConfig for an offset that the chip
// does not have.
func Pins(g GPIO) ([]Pin, error) {
	if err := g.validate(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(chipPath(g.Chip)); err != nil {
		return nil, err
	}
	chip, err := gpiocdev.NewChip(g.Chip)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.Chip, err)
	}
	defer chip.Close() //nolint:errcheck // only looked at
	var pins []Pin
	for _, offset := range []int{g.EN, g.Boot} {
		if offset >= chip.Lines() {
			return nil, fmt.Errorf("%w: %s has lines 0 to %d, not %d", ErrConfig, g.Chip, chip.Lines()-1, offset)
		}
		i, err := chip.LineInfo(offset)
		if err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", offset, g.Chip, err)
		}
		pins = append(pins, Pin{Offset: offset, Name: clean(i.Name, maxShown), Used: i.Used, Consumer: clean(i.Consumer, maxShown)})
	}
	return pins, nil
}

// Chips names the GPIO chips of this machine.
func Chips() []string { return gpiocdev.Chips() }

// chipPath is what the GPIO library makes of a name.
func chipPath(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return "/dev/" + name
}
