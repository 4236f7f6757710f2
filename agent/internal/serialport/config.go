package serialport

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a configuration may ask for.
const (
	MinBaud = 300
	MaxBaud = 12_000_000 // the fastest USB bridge sold, FT232H

	// DefaultBaud is what the ESP32's ROM loader speaks after a reset.
	DefaultBaud = 115200
	// DefaultCommandTimeout bounds a reset command that sets none.
	DefaultCommandTimeout = 10 * time.Second
	maxCommandTimeout     = 2 * time.Minute
)

// ErrConfig is in the chain of every error about a configuration.
var ErrConfig = errors.New("serial port configuration")

// Config says which port to open.
type Config struct {
	// Port is a device path (/dev/ttyUSB0, a udev link such as
	// /dev/ota-esp32) or rfc2217://host:port. As pyserial does, the URL may
	// end in ?ign_set_control for a server that does not acknowledge DTR and
	// RTS, as esp_rfc2217_server.
	Port string
	// Baud is the rate at opening, MinBaud to MaxBaud; 0 is DefaultBaud.
	Baud int
	// LockDir is where the UUCP lock file (LCK..ttyUSB0) goes. Empty:
	// /run/lock, and a machine that does not allow it does without, for the
	// flock on the device is held in any case. A directory that is set must
	// be writable.
	LockDir string
	// Log takes what is worth knowing and no error; nil discards it.
	Log *slog.Logger
}

// Method names a way to reset the chip.
type Method string

// The ways to reset. Auto picks among the three that use DTR and RTS.
const (
	Auto    Method = "auto"
	Classic Method = "classic"
	Tight   Method = "tight"
	USBJTAG Method = "usb-jtag"
	ByGPIO  Method = "gpio"
	ByCmd   Method = "command"
	None    Method = "none"
)

// Methods lists every valid Method, for messages and help.
func Methods() []Method {
	return []Method{Auto, Classic, Tight, USBJTAG, ByGPIO, ByCmd, None}
}

// Reset says how the chip is reset into its loader and into its application.
type Reset struct {
	Method  Method // empty: Auto
	GPIO    GPIO
	Command Command
	// Log takes what is worth knowing and no error; nil discards it.
	Log *slog.Logger
}

// GPIO names the two lines that are wired to the chip, both active low and
// driven open-drain: released means that the board's pull-ups decide.
type GPIO struct {
	Chip string // gpiochip0 or /dev/gpiochip0
	EN   int    // offset of the line on EN (CHIP_PU), ≥ 0
	Boot int    // offset of the line on IO0 (the boot strap), ≥ 0
}

// Command holds two programs with their arguments. No shell reads them. They
// run while the port is open and must not open it themselves; OTA_PORT in
// their environment names it.
type Command struct {
	Bootloader []string      // leaves the chip in its serial loader
	Run        []string      // leaves the chip in its application
	Timeout    time.Duration // each; 0: DefaultCommandTimeout, at most 2 minutes
}

// Validate checks c without touching the port. Errors wrap ErrConfig.
func (c Config) Validate() error {
	if c.Port == "" {
		return fmt.Errorf("%w: no port: set a device such as /dev/ttyUSB0, or rfc2217://host:port", ErrConfig)
	}
	if strings.ContainsRune(c.Port, 0) {
		return fmt.Errorf("%w: port %q holds a NUL byte", ErrConfig, c.Port)
	}
	if strings.Contains(c.Port, "://") {
		if _, err := parseRemote(c.Port); err != nil {
			return err
		}
	} else if !filepath.IsAbs(c.Port) {
		return fmt.Errorf("%w: port %q is not an absolute path: write /dev/%s", ErrConfig, c.Port, c.Port)
	}
	if c.Baud != 0 {
		return checkBaud(c.Baud)
	}
	return nil
}

func checkBaud(baud int) error {
	if baud < MinBaud || baud > MaxBaud {
		return fmt.Errorf("%w: %d baud is not within %d to %d", ErrConfig, baud, MinBaud, MaxBaud)
	}
	return nil
}

func (c Config) remote() bool { return strings.Contains(c.Port, "://") }

func (c Config) logger() *slog.Logger { return orDiscard(c.Log) }

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// Validate checks r without touching a line. Errors wrap ErrConfig.
func (r Reset) Validate() error {
	switch r.method() {
	case Auto, Classic, Tight, USBJTAG, None:
		return nil
	case ByGPIO:
		return r.GPIO.validate()
	case ByCmd:
		return r.Command.validate()
	}
	return fmt.Errorf("%w: reset method %q is none of %v", ErrConfig, r.Method, Methods())
}

func (r Reset) method() Method {
	if r.Method == "" {
		return Auto
	}
	return r.Method
}

func (g GPIO) validate() error {
	switch {
	case g.Chip == "":
		return fmt.Errorf("%w: reset by gpio needs the chip, such as gpiochip0", ErrConfig)
	case g.EN < 0 || g.Boot < 0:
		return fmt.Errorf("%w: gpio offsets start at 0: en %d, boot %d", ErrConfig, g.EN, g.Boot)
	case g.EN == g.Boot:
		return fmt.Errorf("%w: gpio: en and boot are both line %d", ErrConfig, g.EN)
	}
	return nil
}

func (c Command) validate() error {
	for _, one := range []struct {
		name string
		argv []string
	}{{"bootloader", c.Bootloader}, {"run", c.Run}} {
		if len(one.argv) == 0 || one.argv[0] == "" {
			return fmt.Errorf("%w: reset by command needs the %s command, as a list: the program, then its arguments",
				ErrConfig, one.name)
		}
	}
	if c.Timeout < 0 || c.Timeout > maxCommandTimeout {
		return fmt.Errorf("%w: the reset command's time-out %v is not within 0 to %v", ErrConfig, c.Timeout, maxCommandTimeout)
	}
	return nil
}

// remote is a parsed rfc2217 URL.
type remote struct {
	addr          string // host:port
	ignoreControl bool   // do not wait for acknowledged lines
}

func parseRemote(s string) (remote, error) {
	u, err := url.Parse(s)
	if err != nil {
		return remote{}, fmt.Errorf("%w: port %q: %w", ErrConfig, s, err)
	}
	bad := func(why string) (remote, error) {
		return remote{}, fmt.Errorf("%w: port %q: %s: write rfc2217://host:port", ErrConfig, s, why)
	}
	if u.Scheme != "rfc2217" {
		return bad("the scheme " + strconv.Quote(u.Scheme) + " is not known")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if u.Hostname() == "" || err != nil || port == 0 {
		return bad("host and port number are needed")
	}
	if u.User != nil || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return bad("nothing but host and port belongs there")
	}
	r := remote{addr: u.Host}
	for _, opt := range strings.FieldsFunc(u.RawQuery, func(c rune) bool { return c == '&' }) {
		if opt != "ign_set_control" {
			return bad("the option " + strconv.Quote(opt) + " is not known")
		}
		r.ignoreControl = true
	}
	return r, nil
}
