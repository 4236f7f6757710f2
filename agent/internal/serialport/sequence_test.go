package serialport

import (
	"fmt"
	"strings"
	"testing"
)

// String writes a sequence as Espressif's documents do: D and R with 0 or 1,
// U for both lines in one write (DTR first), W for milliseconds.
func (s sequence) String() string {
	bit := map[level]string{released: "0", asserted: "1"}
	var out []string
	for _, st := range s.steps {
		switch {
		case st.dtr != keep && st.rts != keep:
			out = append(out, "U"+bit[st.dtr]+bit[st.rts])
		case st.dtr != keep:
			out = append(out, "D"+bit[st.dtr])
		case st.rts != keep:
			out = append(out, "R"+bit[st.rts])
		}
		if st.wait > 0 {
			out = append(out, fmt.Sprintf("W%d", st.wait.Milliseconds()))
		}
	}
	return strings.Join(out, " ")
}

func TestPlans(t *testing.T) {
	const (
		classic     = "D0 R1 W100 D1 R0 W50 D0"
		classicLong = "D0 R1 W100 D1 R0 W550 D0"
		tight       = "U00 U11 U01 W100 U10 W50 U00"
		tightLong   = "U00 U11 U01 W100 U10 W550 U00"
		jtag        = "R0 D0 W100 D1 R0 W100 R1 D0 R1 W100 D0 R0 W100"
		run         = "D0 R1 W100 R0"
	)
	for _, c := range []struct {
		name   string
		method Method
		usb    USB
		remote bool
		boot   []string
		run    string
	}{
		{"auto on a bridge", Auto, USB{VID: 0x10C4, PID: 0xEA60}, false, []string{tight, classic, tightLong, classicLong}, run},
		{"auto on a header", Auto, USB{}, false, []string{tight, classic, tightLong, classicLong}, run},
		{"auto over the network", Auto, USB{}, true, []string{classic, classicLong}, run},
		{"auto on the chip's USB", Auto, usbJTAG, false, []string{jtag}, "D0 R1 W200 R0 W200"},
		{"classic on the chip's USB", Classic, usbJTAG, false, []string{classic, classicLong}, run},
		{"usb-jtag by name", USBJTAG, USB{}, false, []string{jtag}, "D0 R1 W200 R0 W200"},
		{"tight", Tight, USB{}, false, []string{tight, tightLong}, run},
		{"tight over the network", Tight, USB{}, true, []string{tight, tightLong}, run},
		{"CP2102C", Auto, cp2102c, false, []string{
			"U00 U11 U01 W100 U10 W50", "D0 R1 W100 D1 R0 W50", "U00 U11 U01 W100 U10 W550", "D0 R1 W100 D1 R0 W550",
		}, "D0 R1 W100 D1 W100 R0"},
		{"gpio", ByGPIO, USB{}, false, []string{"U11 W100 U10 W50 U00", "U11 W100 U10 W550 U00"}, "U01 W100 U00"},
	} {
		p := planFor(c.method, c.usb, c.remote)
		for n := range 3 * len(c.boot) {
			if got, want := p.attempt(n).String(), c.boot[n%len(c.boot)]; got != want {
				t.Errorf("%s, attempt %d: %s, want %s", c.name, n, got, want)
			}
		}
		if got := p.run.String(); got != c.run {
			t.Errorf("%s, run: %s, want %s", c.name, got, c.run)
		}
		if p.attempt(-1).name != p.attempt(0).name {
			t.Errorf("%s: attempt -1 is %s", c.name, p.attempt(-1).name)
		}
	}
}

// board is the usual two-transistor circuit between the lines and the chip.
type board struct {
	dtr, rts bool
	inReset  bool
	strap    bool // IO0 low when EN last rose
	resets   int
}

func (b *board) setLines(s lines) error {
	set := func(l level, v *bool) {
		if l != keep {
			*v = l == asserted
		}
	}
	set(s.dtr, &b.dtr)
	set(s.rts, &b.rts)
	en, io0 := !b.rts || b.dtr, !b.dtr || b.rts
	if b.inReset && en {
		b.resets++
		b.strap = !io0
	}
	b.inReset = !en
	return nil
}

// The circuit agrees that each sequence for bridges ends where it should,
// from whatever state the lines were in. Classic passes a moment with both
// lines asserted, which lets EN rise for some microseconds while IO0 is high;
// the capacitor on EN covers that on a real board. Here it does not, so the
// last state of the lines is what counts.
func TestSequencesOnTheCircuit(t *testing.T) {
	for _, start := range []board{{}, {dtr: true}, {rts: true, inReset: true}, {dtr: true, rts: true}} {
		for _, s := range []sequence{tightBoot(holdBoot), withoutLast(tightBoot(holdBoot))} {
			b := start
			for _, st := range s.steps {
				_ = b.setLines(st.lines)
			}
			if b.inReset || !b.strap {
				t.Errorf("%s from %+v ends as %+v: not in the loader", s.name, start, b)
			}
		}
		for _, s := range []sequence{runApp(), runCP2102C()} {
			b := start
			b.resets = 0
			for _, st := range s.steps {
				_ = b.setLines(st.lines)
			}
			if b.inReset || b.strap || b.resets == 0 {
				t.Errorf("%s from %+v ends as %+v: not in the application", s.name, start, b)
			}
		}
	}
}
