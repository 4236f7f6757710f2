package robot

import (
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// FuzzFirmware: what a firmware says of itself, one "key=value" a line, is read as
// what it can be, or refused.
func FuzzFirmware(f *testing.F) {
	f.Add("firmware_version=0.2.1\nprotocol_version=1\nboot_count=3\nslot=ota_0", byte(0))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, said string, level byte) {
		d := Diagnostic{Name: "r/firmware", Level: Level(level), Values: map[string]string{}, At: at}
		for line := range strings.Lines(said) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			d.Values[k] = v
		}
		w, err := FirmwareFrom(d, DefaultKeys())
		if err != nil {
			if w != (Firmware{}) {
				t.Fatalf("refused, and %+v", w)
			}
			return
		}
		if n := len(w.AppSHA256); n != 0 && n != 64 || !w.Heard() {
			t.Fatalf("%+v", w)
		}
		if again, err := compat.ParseVersion(w.Version.String()); err != nil && !w.Version.IsZero() || err == nil && again != w.Version {
			t.Fatalf("version %v is read as %v, %v", w.Version, again, err)
		}
		facts := Facts{}.With(d).With(w)
		if c, told := ConditionsFrom(d, DefaultKeys()); told {
			facts = facts.With(c)
		}
		if facts.Firmware != w || len(facts.Diagnostics) != 1 {
			t.Fatalf("%+v", facts)
		}
	})
}
