package espsim

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Chip is a simulated chip on its board. All methods are safe for concurrent
// use.
type Chip struct {
	cfg    Config
	log    *slog.Logger
	model  *model
	nor    *nor
	faults *faultState
	in     *lane // host → chip
	out    *lane // chip → host

	ctx    context.Context // the chip's existence; read by ports
	cancel context.CancelFunc
	lanes  sync.WaitGroup

	gate chan struct{} // whoever holds its token changes power, reset or life

	mu      sync.Mutex // guards what follows; never held while waiting
	powered bool
	lines   lineState
	life    *life
	cable   bool
	cableCh chan struct{} // closed, and replaced, when the cable goes in or out
	ports   map[*Port]struct{}
	status  AppStatus
	watch   map[chan AppStatus]struct{}
	spare   nvsRecord // counters of a chip whose table has no nvs partition
}

// life is the time between two resets by power or EN.
type life struct {
	cancel   context.CancelCauseFunc
	done     chan struct{}
	uart     *uart
	download bool // IO0 was low when EN rose
}

// New powers a chip up: when it returns, the boot chain runs. Close ends it.
func New(cfg Config) (*Chip, error) {
	cfg = cfg.withDefaults()
	memory := cfg.Memory
	if memory == nil {
		if len(cfg.Flash) > cfg.FlashSize {
			return nil, fmt.Errorf("espsim: %d bytes do not fit into a flash of %d", len(cfg.Flash), cfg.FlashSize)
		}
		if err := checkSize(cfg.FlashSize); err != nil {
			return nil, err
		}
		memory = make([]byte, cfg.FlashSize)
		clearTo(memory[copy(memory, cfg.Flash):], 0xFF)
	}
	if err := checkSize(len(memory)); err != nil {
		return nil, err
	}
	c := &Chip{
		cfg: cfg, log: cfg.Logger, model: modelOf(cfg.Model), faults: &faultState{tap: cfg.Tap},
		gate: make(chan struct{}, 1), cable: true, cableCh: make(chan struct{}),
		ports: make(map[*Port]struct{}), watch: make(map[chan AppStatus]struct{}),
	}
	c.faults.arm(cfg.Faults)
	c.nor = &nor{timing: cfg.Timing, faults: c.faults, data: memory, cut: c.losePower}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.in = newLane(hostQueue, !cfg.Unpaced, c.toChip)
	c.out = newLane(txFIFO, !cfg.Unpaced, c.toHost)
	if !cfg.Unpaced {
		c.lanes.Go(func() { c.in.run(c.ctx) })
		c.lanes.Go(func() { c.out.run(c.ctx) })
	}
	c.status.Drain = 1
	c.PowerOn()
	return c, nil
}

// txFIFO is the chip's transmit FIFO: a writer waits beyond that.
const txFIFO = 128

func (cfg Config) withDefaults() Config {
	if cfg.FlashSize == 0 {
		cfg.FlashSize = DefaultFlashSize
	}
	if cfg.TableOffset == 0 {
		cfg.TableOffset = DefaultTableOffset
	}
	if cfg.MAC == [6]byte{} {
		cfg.MAC = [6]byte{0x7c, 0xdf, 0xa1, 0x4f, 0x42, 0x01}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.AppStart = orDefault(cfg.AppStart, DefaultAppStart)
	cfg.SelfTest = orDefault(cfg.SelfTest, DefaultSelfTest)
	cfg.Restart = orDefault(cfg.Restart, DefaultRestart)
	return cfg
}

func orDefault(d, def time.Duration) time.Duration {
	switch {
	case d == 0:
		return def
	case d < 0:
		return 0
	}
	return d
}

// Close switches the chip off for good and waits for its goroutines.
func (c *Chip) Close() {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.mu.Lock()
	c.powered = false
	ports := c.ports
	c.ports = map[*Port]struct{}{}
	c.lines.generation++
	c.mu.Unlock()
	for p := range ports {
		p.end(ErrUnplugged)
	}
	c.endLife(errReset) // not a power cut: what the flash is doing, it finishes
	c.cancel()
	c.lanes.Wait()
}

// endLife stops what the chip does and waits for it. The caller holds the gate.
func (c *Chip) endLife(why error) {
	c.mu.Lock()
	l := c.life
	c.life = nil
	c.mu.Unlock()
	if l != nil {
		l.cancel(why)
		<-l.done
	}
}

// startLife lets the chip run from reset. The caller holds the gate.
func (c *Chip) startLife(download bool) {
	if c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	l := &life{cancel: cancel, done: make(chan struct{}), download: download}
	l.uart = newUART(c.out, defaultBaud, download)
	c.mu.Lock()
	c.life = l
	c.mu.Unlock()
	if download {
		c.setMode(ModeDownload)
	} else {
		c.setMode(ModeBoot)
	}
	go func() {
		defer close(l.done)
		defer cancel(nil)
		c.live(ctx, l)
		c.nor.settled(context.Cause(ctx))
	}()
}

// live is the chip's program, from EN up to EN down or the loss of power.
func (c *Chip) live(ctx context.Context, l *life) {
	reason := resetPowerOn
	for context.Cause(ctx) == nil {
		var err error
		if l.download {
			// A reset by software does not sample the straps again.
			err = c.serveDownload(ctx, l.uart)
		} else {
			reason, err = c.runFlash(ctx, l.uart, reason)
		}
		if err != nil {
			c.log.Debug("life ended", "why", err)
			return
		}
		c.setMode(ModeBoot)
		if sleep(ctx, max(c.cfg.Restart, time.Millisecond)) != nil {
			return
		}
		if l.download {
			c.setMode(ModeDownload)
		}
	}
}

// PowerCut takes the power away: an erase or program under way is torn.
func (c *Chip) PowerCut() {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.losePower()
	c.endLife(errPower)
}

// losePower takes the power away without waiting for the chip to notice: the
// chip itself may be the one who does it.
func (c *Chip) losePower() {
	c.mu.Lock()
	c.powered = false
	l := c.life
	c.mu.Unlock()
	if l != nil {
		l.cancel(errPower)
	}
	c.out.clear()
	c.setMode(ModeOff)
}

// PowerOn gives power to a chip without. The lines decide what boots.
func (c *Chip) PowerOn() {
	c.gate <- struct{}{}
	defer func() { <-c.gate }()
	c.mu.Lock()
	was := c.powered
	c.powered = true
	en, io0 := c.lines.en(), c.lines.io0()
	c.mu.Unlock()
	if was {
		return
	}
	c.endLife(errPower)
	if en {
		c.startLife(!io0)
	} else {
		c.setMode(ModeReset)
	}
}

// Unplug pulls the serial cable: every Port is dead from now on.
func (c *Chip) Unplug() {
	c.mu.Lock()
	ports := c.ports
	c.ports = map[*Port]struct{}{}
	if c.cable {
		c.cable = false
		close(c.cableCh)
		c.cableCh = make(chan struct{})
	}
	c.mu.Unlock()
	for p := range ports {
		p.end(ErrUnplugged)
	}
	c.in.clear()
	c.out.clear()
}

// Plug puts the serial cable back.
func (c *Chip) Plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cable {
		c.cable = true
		close(c.cableCh)
		c.cableCh = make(chan struct{})
	}
}

// Cable says whether the cable is in, and gives a channel that is closed when
// that changes.
func (c *Chip) Cable() (plugged bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cable, c.cableCh
}

// Open plugs a host's end into the serial line. Several may be open: each
// hears the chip, and what each writes goes to it. While the cable is out the
// port is dead.
func (c *Chip) Open() *Port {
	p := newPort(c)
	c.mu.Lock()
	ok := c.cable && c.ctx.Err() == nil
	if ok {
		c.ports[p] = struct{}{}
	}
	c.mu.Unlock()
	if !ok {
		p.end(ErrUnplugged)
	}
	return p
}

func (c *Chip) forget(p *Port) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ports, p)
}

// toChip is the line bringing bytes to the chip.
func (c *Chip) toChip(p []byte, baud int) {
	c.mu.Lock()
	l, ok := c.life, c.powered && c.cable
	c.mu.Unlock()
	p, f := c.faults.bytes(toChip, p)
	if ok && l != nil {
		l.uart.deliver(p, baud)
	}
	c.suffer(f)
}

// toHost is the line bringing bytes to whoever listens.
func (c *Chip) toHost(p []byte, baud int) {
	p, f := c.faults.bytes(toHost, p)
	c.mu.Lock()
	for port := range c.ports {
		port.receive(p, baud)
	}
	c.mu.Unlock()
	c.suffer(f)
}

func (c *Chip) suffer(f fate) {
	if f.pull {
		c.log.Info("fault: cable pulled")
		c.Unplug()
	}
	if f.cut {
		c.log.Info("fault: power cut")
		c.losePower()
	}
}
