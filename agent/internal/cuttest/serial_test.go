package cuttest

import (
	"context"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esp32"
	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// port is the serial line as a life of the agent has it open. One that is dead
// sends nothing any more.
type port struct {
	*espsim.Port
	life *life
}

func (p port) Read(b []byte) (int, error) {
	if p.life.dead() {
		return 0, errDead
	}
	return p.Port.Read(b)
}

func (p port) Write(b []byte) (int, error) {
	if p.life.dead() {
		return 0, errDead
	}
	return p.Port.Write(b)
}

func (p port) SetBaud(baud int) error {
	if p.life.dead() {
		return errDead
	}
	return p.Port.SetBaud(baud)
}

// lines are DTR and RTS of the port, on the usual circuit of two transistors.
func (p port) lines(dtr, rts bool) error {
	if p.life.dead() {
		return errDead
	}
	return p.SetLines(dtr, rts)
}

// open is what the agent does with its serial device. A cable that is out is no
// device.
func (l *life) open(context.Context) (esp32.Port, esprom.Resetter, error) {
	if l.dead() {
		return nil, nil, errDead
	}
	if in, _ := l.world.chip.Cable(); !in {
		return nil, nil, errNoDevice
	}
	p := port{l.world.chip.Open(), l}
	return p, resetter{p}, nil
}

// resetter is esptool's classic reset.
type resetter struct{ port }

func (r resetter) Bootloader(ctx context.Context, _ int) error {
	return r.steps(ctx, []line{{rts: true, wait: 100 * time.Millisecond}, {dtr: true, wait: 50 * time.Millisecond}, {}})
}

func (r resetter) Run(ctx context.Context) error {
	return r.steps(ctx, []line{{rts: true, wait: 100 * time.Millisecond}, {}})
}

type line struct {
	dtr, rts bool
	wait     time.Duration
}

func (r resetter) steps(ctx context.Context, steps []line) error {
	for _, s := range steps {
		err := r.lines(s.dtr, s.rts)
		if err == nil {
			select {
			case <-time.After(s.wait):
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			_ = r.lines(false, false) // the chip is not held in reset
			return err
		}
	}
	return nil
}
