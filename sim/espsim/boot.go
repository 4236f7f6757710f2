package espsim

import (
	"context"
	"fmt"
)

// Reasons of a reset, by their ESP-IDF names.
const (
	resetPowerOn = "poweron" // EN too: the chip cannot tell
	resetSoft    = "sw"
	resetPanic   = "panic"
)

// booted is what the boot loader started.
type booted struct {
	app   app
	index int
	slots slots
}

// runFlash is the boot chain from flash: second stage, then the application,
// until it resets itself (the reason is returned), or power or EN end it.
func (c *Chip) runFlash(ctx context.Context, u *uart, reason string) (string, error) {
	banner := fmt.Sprintf("%s-ROM\r\nrst:%s,boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n", c.model.name, reason)
	if err := u.send(ctx, []byte(banner)); err != nil {
		return "", err
	}
	b, err := c.secondStage(ctx)
	if err != nil {
		return "", err
	}
	if b == nil {
		// The real one resets and tries again, for ever.
		c.log.Warn("nothing to boot")
		c.setMode(ModeNoApp)
		_ = u.send(ctx, []byte("E (31) boot: No bootable app partitions in the partition table\r\n"))
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	if tap := c.cfg.Tap; tap != nil {
		p := b.slots.at(b.index)
		c.nor.look(p.offset, p.size, func(raw []byte) { tap.Booted(slotName(b.index), raw) })
	}
	text := fmt.Sprintf("I (40) boot: Loaded app from partition at offset 0x%x\r\n", b.slots.at(b.index).offset)
	if err := u.send(ctx, []byte(text)); err != nil {
		return "", err
	}
	return c.runApp(ctx, u, b, reason)
}

// secondStage is ESP-IDF's boot loader: find the table, choose a slot by the
// OTA data, load it or another. nil is nothing to boot.
func (c *Chip) secondStage(ctx context.Context) (*booted, error) {
	s, err := c.table()
	if err != nil {
		c.log.Warn("boot", "problem", err)
		return nil, nil
	}
	ch, err := c.choose(ctx, &s, true)
	if err != nil {
		return nil, err
	}
	b := c.load(&s, ch.index)
	if b != nil && b.index > factoryIndex && ch.initial {
		// No factory and blank OTA data: the boot loader notes what it took.
		e := otaEntry{seq: uint32(b.index) + 1, state: stateValid}
		clearTo(e.label[:], 0xFF)
		e.crc = seqCRC(e.seq)
		if err := c.writeOTA(ctx, s.otadata, 0, e); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (c *Chip) table() (slots, error) {
	raw := make([]byte, tableSize)
	if !c.nor.inside(c.cfg.TableOffset, tableSize) {
		return slots{}, fmt.Errorf("%w: offset %#x is past the flash", errTable, c.cfg.TableOffset)
	}
	c.nor.peek(c.cfg.TableOffset, raw)
	return parseTable(raw, c.nor.size())
}

// choice is the slot to start with.
type choice struct {
	index   int
	initial bool // OTA data blank and no factory
}

// choose is bootloader_utility_get_selected_boot_partition. With act it also
// writes what that writes; without, it only looks ahead.
func (c *Chip) choose(ctx context.Context, s *slots, act bool) (choice, error) {
	if s.otadata.size == 0 {
		return choice{index: factoryIndex}, nil
	}
	if s.otadata.size < 2*sectorSize {
		return choice{index: noIndex}, nil
	}
	e := c.readOTA(s.otadata)
	if c.cfg.Rollback {
		for i := range e {
			if e[i].state != statePending {
				continue
			}
			e[i].state = stateAborted
			if act {
				c.log.Info("boot: trial was not confirmed: aborted", "entry", i)
				if err := c.writeOTA(ctx, s.otadata, i, e[i]); err != nil {
					return choice{}, err
				}
			}
		}
	}
	if e[0].ruledOut() && e[1].ruledOut() || s.count == 0 {
		if s.factory.offset != 0 {
			return choice{index: factoryIndex}, nil
		}
		blank := true
		for _, e := range e {
			blank = blank && (e.seq == 0xFFFFFFFF || e.crc != seqCRC(e.seq))
		}
		return choice{index: 0, initial: blank}, nil
	}
	i := active(e)
	if i < 0 {
		return choice{index: factoryIndex}, nil
	}
	ch := choice{index: int((e[i].seq - 1) % uint32(s.count))}
	if c.cfg.Rollback && e[i].state == stateNew && act {
		e[i].state = statePending
		if err := c.writeOTA(ctx, s.otadata, i, e[i]); err != nil {
			return choice{}, err
		}
	}
	return ch, nil
}

// load is bootloader_utility_load_boot_image: from the chosen slot down to
// the factory one, then up, the first with a good image.
func (c *Chip) load(s *slots, start int) *booted {
	if start == noIndex {
		start = factoryIndex
	}
	for i := start; i >= factoryIndex; i-- {
		if a, err := c.try(s.at(i)); err == nil {
			return &booted{app: a, index: i, slots: *s}
		}
	}
	for i := start + 1; i < s.count; i++ {
		if a, err := c.try(s.at(i)); err == nil {
			return &booted{app: a, index: i, slots: *s}
		}
	}
	return nil
}

// try checks the image in a partition.
func (c *Chip) try(p partition) (app, error) {
	if p.size == 0 {
		return app{}, fmt.Errorf("%w: no such partition", errImage)
	}
	var (
		a   app
		err error
	)
	c.nor.look(p.offset, p.size, func(raw []byte) { a, err = parseApp(raw, c.model.chipID) })
	if err == nil && a.secureVersion < c.cfg.SecureVersion {
		err = fmt.Errorf("%w: secure version %d, the eFuse asks for %d", errImage, a.secureVersion, c.cfg.SecureVersion)
	}
	return a, err
}
