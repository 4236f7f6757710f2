package espsim

import (
	"context"
	"errors"
	"time"
)

var errSkeleton = errors.New("espsim: not there yet")

// Chip is a simulated ESP32-S3 on its board.
type Chip struct{}

// New powers a chip up: when it returns, the boot chain runs. Close ends it.
func New(Config) (*Chip, error) { return nil, errSkeleton }

// Close switches the chip off for good and waits for its goroutines.
func (*Chip) Close() {}

// Open plugs a host's end into the serial line. Several may be open: each
// hears the chip, and what each writes goes to it.
func (*Chip) Open() *Port { return nil }

// SetLines sets DTR and RTS (true is asserted, pin low).
func (*Chip) SetLines(dtr, rts bool) {}

// ResetToBootloader resets the chip with IO0 low, as a board's buttons do;
// when it returns, the loader listens.
func (*Chip) ResetToBootloader() {}

// ResetToApp resets the chip with IO0 high.
func (*Chip) ResetToApp() {}

// PowerCut takes the power away, PowerOn gives it back.
func (*Chip) PowerCut() {}

// PowerOn gives power to a chip without.
func (*Chip) PowerOn() {}

// Unplug pulls the serial cable: reads and writes of every Port fail with
// ErrUnplugged until Plug.
func (*Chip) Unplug() {}

// Plug puts the serial cable back.
func (*Chip) Plug() {}

// Flash returns a copy of the whole flash.
func (*Chip) Flash() []byte { return nil }

// Snapshot is a copy of everything that survives a power cut.
type Snapshot struct{}

// Snapshot copies the flash, for Restore.
func (*Chip) Snapshot() Snapshot { return Snapshot{} }

// Restore takes the power away, puts the flash back as it was and powers up.
func (*Chip) Restore(Snapshot) {}

// App is the chip's state now.
func (*Chip) App() AppStatus { return AppStatus{} }

// Watch returns a channel that gets each new state, always the latest, and
// the function that ends it.
func (*Chip) Watch() (<-chan AppStatus, func()) { return nil, nil }

// WaitApp waits until ok says yes to the chip's state.
func (*Chip) WaitApp(ctx context.Context, ok func(AppStatus) bool) (AppStatus, error) {
	return AppStatus{}, errSkeleton
}

// Report says what lies in flash and what would boot.
func (*Chip) Report() FlashReport { return FlashReport{} }

// SetFaults arms a plan of faults and sets the counters to zero.
func (*Chip) SetFaults(Faults) {}

// Counters is what happened since SetFaults.
func (*Chip) Counters() Counters { return Counters{} }

// ErrUnplugged is what a Port says while the cable is out.
var ErrUnplugged = errors.New("serial cable is unplugged")

// Port is a host's end of the serial line. Reads block up to the read
// time-out and then give 0 and os.ErrDeadlineExceeded.
type Port struct{}

func (*Port) Read(p []byte) (int, error)           { return 0, errSkeleton }
func (*Port) Write(p []byte) (int, error)          { return 0, errSkeleton }
func (*Port) SetReadTimeout(d time.Duration) error { return errSkeleton }

// SetBaud sets the host's baud rate; 115200 at first.
func (*Port) SetBaud(baud int) error { return errSkeleton }

// ResetInput forgets what arrived and was not read.
func (*Port) ResetInput() error { return errSkeleton }

// Close unplugs this end.
func (*Port) Close() error { return nil }

// Provision is the flash of a robot as it leaves the works: placeholder boot
// loader, the fleet's partition table at tableOffset, blank OTA data, and the
// images given by slot name ("factory", "ota_0", "ota_1").
func Provision(size int, tableOffset uint32, images map[string][]byte) ([]byte, error) {
	return nil, errSkeleton
}
