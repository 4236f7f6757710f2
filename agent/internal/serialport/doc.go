// Package serialport gives the flasher one serial line to an ESP32, alone.
//
// Parties. The chip's UART hangs on a USB bridge, on the chip's own
// USB-Serial-JTAG, on a header of the companion computer, or behind a serial
// server in the network. In normal life another program, the micro-ROS agent,
// owns that line; package handover asks it to let go, this package makes sure
// that it did, and says who holds the line when it did not.
//
// Layers, one file each:
//
//	config.go    what is opened and how the chip is reset
//	port.go      Port: read, write, baud, lines, close, reopen
//	tty.go       a Linux tty by go.bug.st/serial        latency.go  its delays
//	rfc2217.go   a serial server (RFC 2217, TCP)        telnet.go   its codec (pure)
//	lock.go      flock and UUCP lock file               holder.go   who holds a port
//	usb.go       which serial devices exist, from sysfs
//	sequence.go  reset sequences as tables (pure)       reset.go    performs them
//	look.go      devices and GPIO lines, looked at and left alone
//	gpio.go      EN and BOOT on GPIO lines              command.go  a configured command
//
// Trust. Nothing that comes over the line or from the serial server is
// believed: the telnet parser is bounded, bytes are passed on as they are, and
// what they mean is the flasher's to judge. RFC 2217 has neither encryption
// nor authentication, so it belongs on a wire or a network that is trusted as
// much as a serial cable; the image is verified before and the flash after,
// whatever lies between. Other programs' command lines and lock files are
// quoted in errors, cleaned and cut, and decide nothing but "in use".
//
// Two kinds of failure are kept apart. A read that brings nothing in time is
// os.ErrDeadlineExceeded: ask again. A port that died (cable pulled, adapter
// reset, connection lost) is ErrGone, at once: stop, or Reopen.
//
// The package is for Linux.
package serialport
