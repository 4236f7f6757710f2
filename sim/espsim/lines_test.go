package espsim

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type step struct {
	dtr, rts bool
	wait     time.Duration
}

// The reset sequences that tools use, and what the chip makes of them.
func TestResetSequences(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		wiring Wiring
		steps  []step
		want   Mode
	}{
		"classic": {AutoReset, []step{
			{false, true, 100 * ms}, {true, true, 0}, {true, false, 50 * ms}, {false, false, 0},
		}, ModeDownload},
		"classic over a slow network": {AutoReset, []step{
			{false, false, 60 * ms}, {false, true, 160 * ms}, {true, true, 60 * ms}, {true, false, 110 * ms}, {false, false, 0},
		}, ModeDownload},
		"tight": {AutoReset, []step{
			{false, false, 0}, {true, true, 0}, {false, true, 100 * ms}, {true, false, 50 * ms}, {false, false, 0},
		}, ModeDownload},
		"run": {AutoReset, []step{{false, true, 100 * ms}, {false, false, 0}}, ModeApp},
		"opening a port asserts both": {AutoReset, []step{
			{true, false, 0}, {true, true, time.Second}, {false, true, 0}, {false, false, 0},
		}, ModeApp},
		"EN held": {AutoReset, []step{{false, true, 0}}, ModeReset},
		"both asserted after EN low runs in the end": {AutoReset, []step{
			{false, true, 100 * ms}, {true, true, 0},
		}, ModeApp},
		"USB-JTAG": {USBSerialJTAG, []step{
			{false, false, 100 * ms}, {true, false, 100 * ms}, {true, true, 0}, {false, true, 0}, {false, true, 100 * ms}, {false, false, 0},
		}, ModeDownload},
		"USB-JTAG run": {USBSerialJTAG, []step{{false, true, 100 * ms}, {false, false, 0}}, ModeApp},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Flash: allSlots(t), Wiring: tt.wiring}, func(t *testing.T, c *Chip) {
				waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
				for _, s := range tt.steps {
					c.SetLines(s.dtr, s.rts)
					time.Sleep(s.wait)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := c.App().Mode; got != tt.want {
					t.Errorf("mode %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestOpeningAPortDoesNotReset(t *testing.T) {
	bubble(t, Config{Flash: allSlots(t)}, func(t *testing.T, c *Chip) {
		waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
		c.SetLines(true, false)
		c.SetLines(true, true)
		time.Sleep(time.Minute)
		if s := c.App(); s.BootCount != 1 || !s.Running {
			t.Errorf("state %+v", s)
		}
	})
}

func TestPowerAndCable(t *testing.T) {
	bubble(t, Config{Flash: allSlots(t)}, func(t *testing.T, c *Chip) {
		waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
		p := c.Open()
		c.PowerCut()
		if s := c.App(); s != (AppStatus{Mode: ModeOff, Drain: 1}) {
			t.Errorf("without power: %+v", s)
		}
		c.ResetToBootloader() // a button does nothing now
		c.SetLines(false, true)
		c.SetLines(false, false)
		if _, err := p.Write([]byte("x")); err != nil {
			t.Errorf("the adapter has power of its own: %v", err)
		}
		if m := c.App().Mode; m != ModeOff {
			t.Errorf("mode %s", m)
		}
		c.PowerOn()
		waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running && s.BootCount == 2 })

		c.Unplug()
		if _, err := p.Write([]byte("x")); !errors.Is(err, ErrUnplugged) {
			t.Errorf("write after the cable was pulled: %v", err)
		}
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, ErrUnplugged) {
			t.Errorf("read after the cable was pulled: %v", err)
		}
		if _, err := c.Open().Write([]byte("x")); !errors.Is(err, ErrUnplugged) {
			t.Errorf("a port opened without a cable: %v", err)
		}
		c.Plug()
		if !c.App().Running {
			t.Error("the cable is no power supply")
		}
		if _, err := p.Write([]byte("x")); !errors.Is(err, ErrUnplugged) {
			t.Errorf("the old port came back to life: %v", err)
		}
		c.ResetToBootloader()
		connectHost(t, c).sync()
	})
}

// A reader that waits is told when the cable goes.
func TestUnplugWakesReader(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, c *Chip) {
		c.PowerCut()
		p := c.Open()
		_ = p.ResetInput()
		errs := make(chan error)
		go func() {
			_, err := p.Read(make([]byte, 1))
			errs <- err
		}()
		synctest.Wait()
		c.Unplug()
		if err := <-errs; !errors.Is(err, ErrUnplugged) {
			t.Error(err)
		}
	})
}
