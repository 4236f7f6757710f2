package esprom

import (
	"context"
	"time"
)

// Port is a serial line at 8N1.
//
// Read blocks until at least one byte has come or the read time-out passes;
// then it returns 0 and an error that is os.ErrDeadlineExceeded. Any other
// error, io.EOF included, means that the line is gone.
type Port interface {
	Read(p []byte) (int, error)
	// Write takes all of p or fails, within seconds: a line that takes no more
	// bytes (an adapter that hangs, a pty that nobody reads) is an error.
	Write(p []byte) (int, error)
	// SetReadTimeout bounds each later Read; d is positive.
	SetReadTimeout(d time.Duration) error
}

// Baud is a Port whose speed can be changed. On one that is none, the session
// stays at the speed the port came with.
type Baud interface {
	SetBaud(bitsPerSecond int) error
}

// Input is a Port that can discard what it has received and not yet handed out.
type Input interface {
	ResetInput() error
}

// Resetter drives the chip's EN and BOOT pins, by whatever means.
type Resetter interface {
	// Bootloader resets the chip into its serial loader. attempt counts from
	// 0; an implementation that knows several pulse sequences picks one by it.
	Bootloader(ctx context.Context, attempt int) error
	// Run resets the chip into the application in its flash.
	Run(ctx context.Context) error
}
