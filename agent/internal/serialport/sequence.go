package serialport

import "time"

// level is what a step does to one line. The zero value leaves it alone.
type level uint8

const (
	keep     level = iota
	released       // the pin at the chip is high
	asserted       // the pin at the chip is low
)

// lines is one write to the two reset lines. On the usual board DTR pulls IO0
// (the boot strap) and RTS pulls EN, each only while the other is released:
// two transistors, cross-coupled, so that a terminal program that asserts both
// resets nothing. On GPIO lines dtr stands for BOOT and rts for EN, direct.
type lines struct {
	dtr, rts level
}

// step is one write and the time that the chip gets afterwards.
type step struct {
	lines
	wait time.Duration
}

// sequence is a whole reset.
type sequence struct {
	name  string
	steps []step
}

// letGo leaves the chip to run whatever happened: a sequence that is cut off
// must not leave EN low.
var letGo = lines{dtr: released, rts: released}

// Times that the chip needs, from esptool 5.6.0: EN low for 100 ms (the RC on
// EN of common boards included), IO0 low for 50 ms after it, and half a second
// more on boards with a large capacitor on EN.
const (
	holdReset  = 100 * time.Millisecond
	holdBoot   = 50 * time.Millisecond
	extraBoot  = 500 * time.Millisecond
	holdUSB    = 100 * time.Millisecond
	holdUSBRun = 200 * time.Millisecond
)

// classicBoot changes one line at a time, which every driver and RFC 2217 can.
func classicBoot(boot time.Duration) sequence {
	return sequence{"classic " + boot.String(), []step{
		{lines: lines{dtr: released}},
		{lines{rts: asserted}, holdReset},
		{lines: lines{dtr: asserted}},
		{lines{rts: released}, boot},
		{lines: lines{dtr: released}},
	}}
}

// tightBoot changes both lines in one TIOCMSET, so that the cross-coupled
// circuit sees no state between.
func tightBoot(boot time.Duration) sequence {
	return sequence{"tight " + boot.String(), []step{
		{lines: lines{dtr: released, rts: released}},
		{lines: lines{dtr: asserted, rts: asserted}},
		{lines{dtr: released, rts: asserted}, holdReset},
		{lines{dtr: asserted, rts: released}, boot},
		{lines: lines{dtr: released, rts: released}},
	}}
}

// usbJTAGBoot drives the chip's own USB-Serial-JTAG, which watches the order
// of the two bits rather than pins; it walks through (1,1), not (0,0). The
// last wait is for a port that drops off the bus.
func usbJTAGBoot() sequence {
	return sequence{"usb-jtag", []step{
		{lines: lines{rts: released}},
		{lines{dtr: released}, holdUSB},
		{lines: lines{dtr: asserted}},
		{lines{rts: released}, holdUSB},
		{lines: lines{rts: asserted}},
		{lines: lines{dtr: released}},
		{lines{rts: asserted}, holdUSB},
		{lines: lines{dtr: released}},
		{lines{rts: released}, holdUSB},
	}}
}

// withoutLast drops the last write, for the CP2102C: its CTS hangs on the
// chip's RTS, and a DTR write while the chip talks would pull EN.
func withoutLast(s sequence) sequence {
	return sequence{s.name + " cp2102c", s.steps[:len(s.steps)-1]}
}

// runApp resets into the application. IO0 is released first, for a port that
// was just opened has DTR asserted and the reset would end in the loader.
func runApp() sequence {
	return sequence{"run", []step{
		{lines: lines{dtr: released}},
		{lines{rts: asserted}, holdReset},
		{lines: lines{rts: released}},
	}}
}

// runUSBJTAG gives the chip's own USB time to come back.
func runUSBJTAG() sequence {
	return sequence{"run usb-jtag", []step{
		{lines: lines{dtr: released}},
		{lines{rts: asserted}, holdUSBRun},
		{lines{rts: released}, holdUSBRun},
	}}
}

// runCP2102C lets EN go by asserting DTR as well, and keeps DTR asserted, so
// that a later twitch of RTS takes DTR along and pulls nothing.
func runCP2102C() sequence {
	return sequence{"run cp2102c", []step{
		{lines: lines{dtr: released}},
		{lines{rts: asserted}, holdReset},
		{lines{dtr: asserted}, holdReset},
		{lines: lines{rts: released}},
	}}
}

// gpioBoot and gpioRun drive BOOT (dtr) and EN (rts) directly.
func gpioBoot(boot time.Duration) sequence {
	return sequence{"gpio " + boot.String(), []step{
		{lines{dtr: asserted, rts: asserted}, holdReset},
		{lines{dtr: asserted, rts: released}, boot},
		{lines: letGo},
	}}
}

func gpioRun() sequence {
	return sequence{"gpio run", []step{
		{lines{dtr: released, rts: asserted}, holdReset},
		{lines: letGo},
	}}
}

// plan is what a resetter does on a port: one sequence per attempt to reach
// the loader, from the start again after the last, and one to run the
// application.
type plan struct {
	boot []sequence
	run  sequence
}

// planFor picks the sequences for a port. Auto: USB-Serial-JTAG by its id,
// else tight and classic in turn, short and then long; over RFC 2217 classic
// alone, for the network does not keep two lines together and
// esp_rfc2217_server knows that order.
func planFor(m Method, usb USB, remote bool) plan {
	if m == USBJTAG || (m == Auto && usb.is(usbJTAG)) {
		return plan{boot: []sequence{usbJTAGBoot()}, run: runUSBJTAG()}
	}
	const long = holdBoot + extraBoot
	p := plan{run: runApp()}
	switch {
	case m == ByGPIO:
		return plan{boot: []sequence{gpioBoot(holdBoot), gpioBoot(long)}, run: gpioRun()}
	case m == Tight:
		p.boot = []sequence{tightBoot(holdBoot), tightBoot(long)}
	case m == Classic || remote:
		p.boot = []sequence{classicBoot(holdBoot), classicBoot(long)}
	default:
		p.boot = []sequence{tightBoot(holdBoot), classicBoot(holdBoot), tightBoot(long), classicBoot(long)}
	}
	if usb.is(cp2102c) {
		for i := range p.boot {
			p.boot[i] = withoutLast(p.boot[i])
		}
		p.run = runCP2102C()
	}
	return p
}

// attempt gives the sequence for the n-th attempt, from 0.
func (p plan) attempt(n int) sequence {
	return p.boot[max(n, 0)%len(p.boot)]
}
