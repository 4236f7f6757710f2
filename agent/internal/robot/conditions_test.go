package robot

import (
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func TestConditions(t *testing.T) {
	now := time.Now()
	k := DefaultKeys()
	if c, told := ConditionsFrom(Diagnostic{Values: map[string]string{"voltage": "24"}, At: now}, k); told {
		t.Errorf("a status that says nothing of them: %+v", c)
	}
	both, told := ConditionsFrom(Diagnostic{Values: map[string]string{"wifi_rssi": "-52", "thermal": ""}, At: now}, k)
	if want := (Conditions{RSSI: Value{"-52", now}, Thermal: Value{"", now}}); !told || both != want {
		t.Errorf("%+v, %v", both, told)
	}
	// Each may stand in a status of its own.
	rssi, _ := ConditionsFrom(Diagnostic{Values: map[string]string{"wifi_rssi": "-80"}, At: now.Add(time.Second)}, k)
	thermal, _ := ConditionsFrom(Diagnostic{Values: map[string]string{"thermal": "ok"}, At: now.Add(2 * time.Second)}, k)
	f := Facts{}.With(both).With(rssi).With(thermal)
	if want := (Conditions{RSSI: Value{"-80", now.Add(time.Second)}, Thermal: Value{"ok", now.Add(2 * time.Second)}}); f.Conditions != want {
		t.Errorf("%+v", f.Conditions)
	}
	if f = f.With(Dock{Docked: true, At: now}); !f.Dock.Docked || !f.Dock.At.Equal(now) {
		t.Errorf("%+v", f.Dock)
	}
}

// What the firmware measured ends with it.
func TestConditionsEndWithTheirFirmware(t *testing.T) {
	runs := Firmware{Version: compat.Version{Minor: 2}, AppSHA256: "aa", BootCount: 3, At: time.Now()}
	f := Facts{}.With(runs).With(Conditions{RSSI: Value{"-52", runs.At}})
	if got := f.With(runs).Conditions; got != f.Conditions {
		t.Errorf("the same firmware, heard again: %+v", got)
	}
	for name, w := range map[string]Firmware{
		"another version": {Version: compat.Version{Minor: 3}, AppSHA256: "aa", BootCount: 3},
		"another image":   {Version: compat.Version{Minor: 2}, AppSHA256: "bb", BootCount: 3},
		"a restart":       {Version: compat.Version{Minor: 2}, AppSHA256: "aa", BootCount: 4},
	} {
		if got := f.With(w).Conditions; got != (Conditions{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
