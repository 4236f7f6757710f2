package serialport

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeSysfs lays out a USB bridge, the chip's own USB, a UART on the board
// and an 8250 slot with nothing behind it, as Linux does.
func fakeSysfs(t *testing.T) string {
	t.Helper()
	sys := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		file := filepath.Join(sys, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("devices/usb1/1-2/idVendor", "10c4\n")
	write("devices/usb1/1-2/idProduct", "ea60\n")
	write("devices/usb1/1-2/product", "CP2102N USB to\x1b[31m UART Bridge Controller"+strings.Repeat("!", 100)+"\n")
	write("devices/usb1/1-2/1-2:1.0/ttyUSB0/port_number", "0\n")
	write("devices/usb1/1-3/idVendor", "303a\n")
	write("devices/usb1/1-3/idProduct", "1001\n")
	write("devices/usb1/1-3/1-3:1.0/uevent", "")
	write("devices/platform/uart0/uevent", "")
	write("class/tty/ttyAMA0/type", "32\n")
	write("class/tty/ttyS3/type", "0\n")
	write("class/tty/tty1/uevent", "")
	write("class/tty/ttyUSB0/uevent", "")
	write("class/tty/ttyACM0/uevent", "")
	for tty, dev := range map[string]string{
		"ttyUSB0": "usb1/1-2/1-2:1.0/ttyUSB0", "ttyACM0": "usb1/1-3/1-3:1.0", "ttyAMA0": "platform/uart0", "ttyS3": "platform/uart0",
	} {
		if err := os.Symlink(filepath.Join(sys, "devices", dev), filepath.Join(sys, "class/tty", tty, "device")); err != nil {
			t.Fatal(err)
		}
	}
	return sys
}

func TestDevices(t *testing.T) {
	got := fmt.Sprint(devicesIn(fakeSysfs(t)))
	want := "[/dev/ttyACM0 (303A:1001) /dev/ttyAMA0 /dev/ttyUSB0 (10C4:EA60 CP2102N USB to [31m UART Bridge Controller!!!!!!!!!!!!!!!!!!…)]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := devicesIn(t.TempDir()); got != nil {
		t.Errorf("an empty sysfs has %v", got)
	}
}

func TestUSBOf(t *testing.T) {
	sys := fakeSysfs(t)
	for tty, want := range map[string]USB{"ttyACM0": usbJTAG, "ttyUSB0": {VID: 0x10C4, PID: 0xEA60}, "ttyAMA0": {}, "ttyNONE": {}} {
		if got, ok := usbOf(sys, tty); !got.is(want) || ok != (want != USB{}) {
			t.Errorf("%s: %v, %v", tty, got, ok)
		}
	}
}
