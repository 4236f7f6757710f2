package engine

import (
	"context"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Source knows what this robot should run.
type Source interface {
	// Check asks for something newer than running; false: there is nothing.
	Check(ctx context.Context, running compat.Version) (update.Offer, bool, error)
}

// Images fetches and proves signed images.
type Images interface {
	// Fetch downloads the offered file, going on with what is there of it, or
	// rebuilds it from the offered patch.
	Fetch(ctx context.Context, o update.Offer, progress func(done, total int64)) (update.Fetched, error)
	// Verify proves the downloaded or stored file with that digest; what it
	// returns is the bytes it looked at.
	Verify(ctx context.Context, sha256 string, p image.Policy) (image.Verified, error)
}

// Vouchers know which files the fleet's owner stands for, whoever offers them.
type Vouchers interface {
	// Renew makes sure of the newest that he said, or says why it cannot.
	Renew(ctx context.Context) error
	// Vouch says why a file may not be installed; nil: he stands for it now, as
	// far as he has said. It answers at once.
	Vouch(f update.File) error
	// Metadata is how that stands, for Status.
	Metadata() update.Metadata
}

// Checks keeps how questions to the update server went, and plans the next.
type Checks interface {
	// Checked hears how a question went, whoever asked it.
	Checked(c update.Check)
	// Last is the latest of them; its time is zero before the first.
	Last() update.Check
	// Next is when the server is asked next without being told; zero: never.
	Next() time.Time
}

// Line is the serial line that the micro-ROS agent owns in normal life.
type Line interface {
	// Take stops the owner and waits until the port is free.
	Take(ctx context.Context) error
	// Give starts the owner again; it does nothing where nothing was stopped.
	Give(ctx context.Context) error
}

// Chip brings the ESP32 into its loader and out of it.
type Chip interface {
	// Prepare does the part of writing v that needs no chip, while the
	// firmware still runs. The zero image frees what was prepared.
	Prepare(v image.Verified) error
	// Connect opens a session. ahead is the image that will be written, zero
	// if none will be.
	Connect(ctx context.Context, ahead image.Verified) (Session, error)
	// Reset starts the application, whatever the chip is doing.
	Reset(ctx context.Context) error
}

// Layout is what the chip's partition table and OTA data say.
type Layout struct {
	// Next is the slot that the bootloader would choose now, Inactive the one
	// an update goes to.
	Next, Inactive flashmap.Slot
	State          flashmap.OTAState // of Next; Valid for factory
	Installed      update.Installed  // in Next
	SlotSize       uint32            // bytes, of Inactive
}

// Session is a chip in its loader.
type Session interface {
	Inspect(ctx context.Context) (Layout, error)
	Slots
	// Close ends the session; run resets the chip into its application.
	Close(ctx context.Context, run bool) error
}

// Slots changes what the chip boots.
type Slots interface {
	Write(ctx context.Context, to flashmap.Slot, v image.Verified, progress func(done, total int64)) error
	Attest(ctx context.Context, s flashmap.Slot, v image.Verified) error
	Switch(ctx context.Context, from, to flashmap.Slot) error
	Restore(ctx context.Context, bad, good flashmap.Slot) error
	Confirm(ctx context.Context, s flashmap.Slot) error
}

// Robot is where the facts about the robot are posted.
type Robot interface {
	Facts() robot.Facts
	News() (<-chan struct{}, func())
}

// Journal makes the memory durable and keeps the history.
type Journal interface {
	// Save makes the memory durable, and in one with it that these jobs have
	// ended and are owed to the history, also where that has to wait.
	Save(m update.Memory, ended ...update.Record) error
	// Settle writes what is owed to the history, each record once, and says how
	// many are left.
	Settle() (left int, err error)
}

// Observer hears of every step, in order and from one goroutine. The news of
// Status may be coalesced; this is for who must not miss one.
type Observer interface {
	// Stepped comes after the step was saved, or could not be, and before Status
	// tells of it. event names its cause. It holds the engine up: a short write is all that it may wait for.
	Stepped(before, after update.Memory, event string)
}
