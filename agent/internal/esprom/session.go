package esprom

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// DefaultBaud is the speed a session raises the line to, in bits per second.
const DefaultBaud = 921600

// maxBaud is more than any UART of the family does.
const maxBaud = 5_000_000

// Options says what chip is expected and how to talk to it.
type Options struct {
	// Chip is the chip that must answer; another one is refused.
	// image.AnyChip accepts every known one.
	Chip image.ChipID
	// Baud is the speed to raise the line to, 115200 to 5000000, DefaultBaud
	// when 0. After noise the session goes on at the next lower of 921600,
	// 460800 and 115200.
	Baud int
	// Begin is a lower speed to raise the line to at first, for one that was
	// noisy; 0 and what is not below Baud mean Baud.
	Begin int
	// NoStub keeps to the ROM loader.
	NoStub bool
	// FlashSize in bytes; 0 asks the flash chip.
	FlashSize uint32
	// Ahead is what will be given to Write, if that is known: its deflating
	// need not wait for the chip.
	Ahead *Ahead
	// Stubs holds the stub images as <chip>.json; nil means the embedded ones.
	Stubs fs.FS
	// Log hears of retries and fallbacks; nil discards.
	Log *slog.Logger
}

// Info is what a session knows of the chip.
type Info struct {
	Chip image.ChipID
	Name string // "ESP32-S3"
	MAC  [6]byte
	// FlashSize in bytes.
	FlashSize uint32
	// SecureBoot: the ROM checks the bootloader's signature.
	SecureBoot bool
	// Stub: the stub loader runs; else the ROM answers.
	Stub bool
	// Baud is the present speed in bits per second; 0 when the port sets it.
	Baud int
}

// Session is a chip in its serial loader, ready for flash commands. It is not
// safe for concurrent use.
type Session struct {
	c     *connector
	chip  *chip
	opts  Options
	log   *slog.Logger
	info  Info
	top   int // the highest speed still trusted
	noise noise
	ahead *Ahead
	md5   md5Rate
	// held is what was in the flash from heldAt on; see Expect.
	held   Held
	heldAt uint32
}

// Connect resets the chip into its loader, identifies it, refuses what cannot
// or must not be written, uploads the stub and raises the speed.
//
// Errors: *ConnectError when no loader answers, *RefusedError when the chip
// must not be written, ErrDead when the port fails, ctx's error. After an error
// the chip has been reset into its application, as far as the line allows.
func Connect(ctx context.Context, p Port, r Resetter, o Options) (*Session, error) {
	if o.Baud == 0 {
		o.Baud = DefaultBaud
	}
	if o.Baud < romBaud || o.Baud > maxBaud {
		return nil, fmt.Errorf("baud rate %d: want %d to %d", o.Baud, romBaud, maxBaud)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{
		c:    &connector{link: newLink(p), reset: r, opts: o, log: o.Log},
		opts: o, log: o.Log, top: o.first(),
		ahead: o.Ahead,
	}
	if err := s.establish(ctx, connectAttempts); err != nil {
		s.ahead.Wait()
		s.letRun(ctx, err)
		return nil, err
	}
	return s, nil
}

// first is the speed that is trusted at the beginning.
func (o Options) first() int {
	if o.Begin >= romBaud && o.Begin < o.Baud {
		return o.Begin
	}
	return o.Baud
}

// runTimeout bounds the reset after a failed Connect.
const runTimeout = 5 * time.Second

// letRun resets the chip into its application after a Connect that failed, even
// if ctx has ended: a robot must not be left in its bootloader.
func (s *Session) letRun(ctx context.Context, cause error) {
	if errors.Is(cause, ErrDead) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTimeout)
	defer cancel()
	if err := s.c.reset.Run(ctx); err != nil {
		s.log.Warn("could not reset the chip into its application", "error", err)
	}
}

// startTries bounds how often a chip that answers is started over because
// identifying it or starting the stub failed.
const startTries = 4

// establish takes the chip from any state to a loader that is ready for flash
// commands at the highest trusted speed. A chip that answers and then falters
// is reset and met again with more care: first without raising the speed of the
// ROM loader, then at a lower speed; a stub that did not start twice is done
// without.
func (s *Session) establish(ctx context.Context, attempts int) error {
	stubFailures := 0
	for n := 0; ; n++ {
		if err := s.c.connect(ctx, attempts); err != nil {
			return err
		}
		err := s.start(ctx, n > 0)
		var refused *RefusedError
		if err == nil || fatal(err) || errors.As(err, &refused) || n == startTries-1 {
			return err
		}
		s.log.Warn("the chip faltered while being set up; starting over", "error", err)
		s.c.stub = false
		if errors.Is(err, errStubStart) {
			if stubFailures++; stubFailures == 2 {
				s.log.Warn("the stub does not start: using the ROM loader alone, which is slower")
				s.opts.NoStub = true
			}
			continue
		}
		if n > 0 && isNoise(err) {
			s.lowerTop()
		}
	}
}

// start goes from a loader that answers to one that is ready.
func (s *Session) start(ctx context.Context, careful bool) error {
	ch, sec, err := s.c.identify(ctx)
	if err != nil {
		return err
	}
	if err := permit(ch, sec, s.opts); err != nil {
		return err
	}
	s.chip = ch
	s.info.Chip, s.info.Name, s.info.SecureBoot = ch.id, ch.name, sec.secureBoot
	if !s.c.stub {
		if err := s.startLoader(ctx, sec, careful); err != nil {
			return err
		}
	}
	if err := s.c.changeBaud(ctx, s.top); err != nil {
		return fmt.Errorf("raise speed to %d baud: %w", s.top, err)
	}
	mac, err := s.c.mac(ctx, ch)
	if err != nil {
		return fmt.Errorf("read MAC: %w", err)
	}
	if s.info.MAC != [6]byte{} && mac != s.info.MAC {
		return &RefusedError{RefusedOtherChip, fmt.Sprintf(
			"a chip with MAC %x answers where the one with %x did; was the cable moved?", mac, s.info.MAC)}
	}
	s.info.MAC = mac
	size := s.opts.FlashSize
	if s.info.FlashSize != 0 {
		size = s.info.FlashSize // known from before a new start
	}
	if s.info.FlashSize, err = s.c.attachFlash(ctx, ch, size); err != nil {
		return err
	}
	s.info.Stub, s.info.Baud = s.c.stub, s.c.baud
	return nil
}

// startLoader readies the ROM and puts the stub in its place, if there is one.
func (s *Session) startLoader(ctx context.Context, sec security, careful bool) error {
	blockSize, err := s.c.tendUSB(ctx, s.chip.usb)
	if err != nil {
		return err
	}
	img, err := s.pickStub(sec)
	if errors.Is(err, errNoStub) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.chip.romBaud && !careful {
		if err := s.c.changeBaud(ctx, s.top); err != nil {
			return fmt.Errorf("raise the ROM loader's speed to %d baud: %w", s.top, err)
		}
	}
	return s.c.startStub(ctx, img, blockSize)
}

func (s *Session) pickStub(sec security) (stubImage, error) {
	if s.opts.NoStub {
		return stubImage{}, errNoStub
	}
	if sec.secureBoot && s.chip.noStubSecureBoot {
		s.log.Info("secure boot is on: using the ROM loader alone, which is slower")
		return stubImage{}, errNoStub
	}
	img, err := loadStub(s.opts.Stubs, s.chip)
	if errors.Is(err, errNoStub) {
		s.log.Warn("no stub image for this chip in this build: using the ROM loader alone, which is slower", "chip", s.chip.name)
	}
	return img, err
}

// Info describes the chip and the state of the session.
func (s *Session) Info() Info { return s.info }

// checkRange refuses ranges outside the flash.
func (s *Session) checkRange(off, n uint32) error {
	if n == 0 || uint64(off)+uint64(n) > uint64(s.info.FlashSize) {
		return fmt.Errorf("%w: %d bytes at %#x in a flash of %d bytes", ErrRange, n, off, s.info.FlashSize)
	}
	return nil
}

// Close ends the session; with run it resets the chip into its application.
// Without, the chip stays in its loader. The port stays open: it is the
// caller's.
func (s *Session) Close(ctx context.Context, run bool) error {
	s.ahead.Wait()
	if !run {
		return nil
	}
	if usb := s.chip.usb; usb != nil {
		// A forced download mode would outlive the reset. If this fails, as
		// on a line that has gone bad, the reset is still right.
		leave := request{op: opWriteReg, args: words(usb.forceDownload, 0, 1, 0)}
		if _, err := s.c.link.request(ctx, leave, askTimeout); err != nil && fatal(err) {
			return err
		}
	}
	if err := s.c.reset.Run(ctx); err != nil {
		return fmt.Errorf("reset the chip into its application: %w", err)
	}
	return nil
}

// mac reads the chip's base MAC address from its eFuses.
func (c *connector) mac(ctx context.Context, ch *chip) (mac [6]byte, err error) {
	low, err := c.readReg(ctx, ch.mac)
	if err != nil {
		return mac, err
	}
	high, err := c.readReg(ctx, ch.mac+4)
	if err != nil {
		return mac, err
	}
	b := slices.Concat(words(low), words(high)) // little-endian, MAC in reverse
	for i := range mac {
		mac[i] = b[len(mac)-1-i]
	}
	return mac, nil
}

// tendUSB looks which port the ROM is reached by, quiets the watchdogs that
// would reset a chip on its own USB port, and returns the size of RAM blocks.
func (c *connector) tendUSB(ctx context.Context, usb *usbRegs) (int, error) {
	if usb == nil {
		return ramBlock, nil
	}
	no, err := c.readReg(ctx, usb.portNo)
	if err != nil {
		return 0, err
	}
	switch byte(no) {
	case usb.otg:
		return ramBlockOTG, nil
	case usb.jtag:
		return ramBlock, c.quietWatchdogs(ctx, usb)
	}
	return ramBlock, nil
}

func (c *connector) quietWatchdogs(ctx context.Context, usb *usbRegs) error {
	swd, err := c.readReg(ctx, usb.swdConfig)
	if err != nil {
		return err
	}
	return c.writeRegs(ctx,
		regWrite{usb.wdtProtect, usb.wdtKey, allBits},
		regWrite{usb.wdtConfig, 0, allBits},
		regWrite{usb.wdtProtect, 0, allBits},
		regWrite{usb.swdProtect, usb.swdKey, allBits},
		regWrite{usb.swdConfig, swd | usb.swdAutoFeed, allBits},
		regWrite{usb.swdProtect, 0, allBits},
	)
}
