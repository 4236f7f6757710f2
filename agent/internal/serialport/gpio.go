package serialport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/warthog618/go-gpiocdev"
)

// pins are the two requested GPIO lines.
type pins interface {
	liner
	Close() error
}

// gpio resets by EN and BOOT on GPIO lines. The lines are ours only during a
// sequence, and inputs before and after it: the board's pull-ups run the chip.
type gpio struct {
	cfg     GPIO
	request func(GPIO) (pins, error)
	plan    plan
	log     *slog.Logger
}

func (g gpio) Bootloader(ctx context.Context, attempt int) error {
	return g.reset(ctx, g.plan.attempt(attempt))
}

func (g gpio) Run(ctx context.Context) error { return g.reset(ctx, g.plan.run) }

func (g gpio) reset(ctx context.Context, s sequence) error {
	g.log.Debug("reset", "sequence", s.name, "chip", g.cfg.Chip, "en", g.cfg.EN, "boot", g.cfg.Boot)
	p, err := g.request(g.cfg)
	if err != nil {
		return err
	}
	return errors.Join(perform(ctx, p, s), p.Close())
}

// cdev is the pair of lines by the kernel's character device (GPIO uAPI).
type cdev struct {
	lines *gpiocdev.Lines
	now   [2]int // values last set: EN, BOOT
}

// requestPins takes both lines, released. Active low and open-drain: 1 pulls
// the pin down, 0 lets it float.
func requestPins(g GPIO) (pins, error) {
	l, err := gpiocdev.RequestLines(g.Chip, []int{g.EN, g.Boot},
		gpiocdev.AsOutput(0, 0), gpiocdev.AsActiveLow, gpiocdev.AsOpenDrain, gpiocdev.WithConsumer("ota-agent"))
	switch {
	case err == nil:
		return &cdev{lines: l}, nil
	case errors.Is(err, fs.ErrNotExist):
		chips := "none"
		if c := gpiocdev.Chips(); len(c) > 0 {
			chips = strings.Join(c, ", ")
		}
		return nil, fmt.Errorf("reset by gpio: there is no chip %s (%w); these exist: %s", g.Chip, err, chips)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("reset by gpio: %s (%w): add the agent's user to group gpio, then start the agent anew", g.Chip, err)
	}
	return nil, fmt.Errorf("reset by gpio: lines %d (en) and %d (boot) of %s: %w: `gpioinfo` says who has them", g.EN, g.Boot, g.Chip, err)
}

func (c *cdev) setLines(s lines) error {
	c.now[0] = s.rts.value(c.now[0])
	c.now[1] = s.dtr.value(c.now[1])
	return c.lines.SetValues(c.now[:])
}

func (l level) value(now int) int {
	switch l {
	case asserted:
		return 1
	case released:
		return 0
	default:
		return now
	}
}

// Close makes both lines inputs again before it gives them back: the kernel
// keeps an output as it was.
func (c *cdev) Close() error {
	return errors.Join(c.lines.Reconfigure(gpiocdev.AsInput), c.lines.Close())
}
