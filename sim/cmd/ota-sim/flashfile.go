package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// flashMemory is the flash, in a mapped file where one is asked for: what the
// chip writes is in the file at once, also when the simulator is killed.
type flashMemory struct {
	bytes []byte
	file  *os.File
}

// Close unmaps.
func (m *flashMemory) Close() error {
	if m.file == nil {
		return nil
	}
	return errors.Join(unix.Munmap(m.bytes), m.file.Close())
}

// openFlash is the flash that the flags ask for.
func (o robotOptions) openFlash(log *slog.Logger) (*flashMemory, error) {
	if o.flash == "" {
		b, err := o.provision()
		return &flashMemory{bytes: b}, err
	}
	f, err := os.OpenFile(o.flash, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("flash file: %w", err)
	}
	fi, err := f.Stat()
	if err == nil && fi.Size() == 0 {
		err = o.fill(f)
	} else if err == nil {
		if fi.Size() != espsim.DefaultFlashSize {
			err = fmt.Errorf("%s has %d bytes, a flash has %d: remove it or name another file", o.flash, fi.Size(), espsim.DefaultFlashSize)
		} else if len(o.firmware) > 0 {
			log.Info("the flash file holds a robot already, --firmware is passed over", "file", o.flash)
		}
	}
	var b []byte
	if err == nil {
		b, err = unix.Mmap(int(f.Fd()), 0, espsim.DefaultFlashSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("flash file: %w", err), f.Close())
	}
	return &flashMemory{bytes: b, file: f}, nil
}

func (o robotOptions) fill(f *os.File) error {
	b, err := o.provision()
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return err
}

// provision is the flash of a new robot.
func (o robotOptions) provision() ([]byte, error) {
	images := map[string][]byte{}
	for _, spec := range o.firmware {
		path, slot := spec, "factory"
		if i := strings.LastIndexByte(spec, ':'); i > 0 {
			path, slot = spec[:i], spec[i+1:]
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--firmware: %w", err)
		}
		images[slot] = unsigned(b)
	}
	return espsim.Provision(0, o.tableOffset, images)
}

// unsigned is the app image in a signed container, or b itself.
func unsigned(b []byte) []byte {
	const header = 136
	if len(b) > header && bytes.HasPrefix(b, []byte{0x4F, 0x42, 0x4F, 0x52}) {
		return b[header:]
	}
	return b
}
