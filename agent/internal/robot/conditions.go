package robot

import "time"

// Value is a value as the firmware worded it, and when it did; the zero one was
// never said.
type Value struct {
	Text string
	At   time.Time
}

// Conditions are what the firmware measures around itself, as far as it tells.
type Conditions struct {
	RSSI    Value // of its Wi-Fi, in dBm: "-52"
	Thermal Value // "ok" when it is not too hot
}

// ConditionsFrom reads them out of a status of the firmware; false: it says
// nothing of them.
func ConditionsFrom(d Diagnostic, k Keys) (Conditions, bool) {
	var c Conditions
	rssi, said := d.Values[k.RSSI]
	if said {
		c.RSSI = Value{rssi, d.At}
	}
	thermal, also := d.Values[k.Thermal]
	if also {
		c.Thermal = Value{thermal, d.At}
	}
	return c, said || also
}

// on keeps what this status says nothing of: another may.
func (c Conditions) on(f *Facts) {
	if !c.RSSI.At.IsZero() {
		f.Conditions.RSSI = c.RSSI
	}
	if !c.Thermal.At.IsZero() {
		f.Conditions.Thermal = c.Thermal
	}
}

// Dock is whether the robot is on its dock, as a topic of its own tells.
type Dock struct {
	Docked bool
	At     time.Time
}

func (d Dock) on(f *Facts) { f.Dock = d }

// anew says whether w is another life of the firmware than the one heard
// before: what that one measured need not be measured any more.
func (w Firmware) anew(before Firmware) bool {
	return w.BootCount != before.BootCount || w.AppSHA256 != before.AppSHA256 || w.Version != before.Version
}
