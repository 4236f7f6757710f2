package serialport

import (
	"fmt"
	"log/slog"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asyncLowLatency is ASYNC_LOW_LATENCY of <linux/tty_flags.h>.
const asyncLowLatency = 1 << 13

// serialStruct is struct serial_struct of <linux/serial.h>.
type serialStruct struct {
	typ           int32
	line          int32
	port          uint32
	irq           int32
	flags         int32
	xmitFIFOSize  int32
	customDivisor int32
	baudBase      int32
	closeDelay    uint16
	ioType        uint8
	_             uint8
	hub6          int32
	closingWait   uint16
	closingWait2  uint16
	iomemBase     uintptr
	iomemRegShift uint16
	portHigh      uint32
	iomapBase     uint64 // unsigned long; of this size on 64-bit machines, unread on others
}

// lowLatency asks the driver to hand bytes on at once. An FTDI adapter holds
// short answers back for 16 ms otherwise, which costs a tenth of a flash's
// time. Where neither way is open the flash is slower and as good.
func (t *tty) lowLatency(name string, log *slog.Logger) {
	err := t.control(setLowLatency)
	if err == nil {
		return
	}
	log.Debug("the driver has no low-latency mode", "port", name, "err", err)
	file := fmt.Sprintf("%s/class/tty/%s/device/latency_timer", sysfs, name)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		log.Debug("the latency timer cannot be set", "port", name, "err", err)
		return
	}
	_, err = f.WriteString("1\n")
	if err != nil || f.Close() != nil {
		log.Debug("the latency timer cannot be set", "port", name, "err", err)
	}
}

func setLowLatency(fd int) error {
	var s serialStruct
	if err := ioctlPtr(fd, unix.TIOCGSERIAL, unsafe.Pointer(&s)); err != nil {
		return err
	}
	if s.flags&asyncLowLatency != 0 {
		return nil
	}
	s.flags |= asyncLowLatency
	return ioctlPtr(fd, unix.TIOCSSERIAL, unsafe.Pointer(&s))
}

func ioctlPtr(fd int, req uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// clearHUPCL keeps the kernel from dropping DTR and RTS at close: on a
// CP2102C that reaches the chip's EN.
func clearHUPCL(fd int) error {
	s, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != nil {
		return err
	}
	s.Cflag &^= unix.HUPCL
	return unix.IoctlSetTermios(fd, unix.TCSETS2, s)
}
