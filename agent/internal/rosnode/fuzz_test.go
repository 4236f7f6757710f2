package rosnode

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// FuzzDiagnostic: whatever a DDS participant puts into a DiagnosticStatus, it
// becomes observations of bounded levels, or an error beside them.
func FuzzDiagnostic(f *testing.F) {
	f.Add("r1/firmware", "ok", uint8(0), "firmware_version", "0.2.1")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	i := newIntake(Config{RobotID: "r1", FirmwareStatus: "r1/firmware", SystemStatus: "r1/system", Keys: robot.DefaultKeys()})
	f.Fuzz(func(t *testing.T, name, message string, level uint8, key, value string) {
		name, message, key, value = cut(name, maxName), cut(message, maxString), cut(key, maxName), cut(value, maxString)
		for _, s := range []string{name, message, key, value} {
			if !utf8.ValidString(s) || len(s) > maxString*3 {
				t.Fatalf("%q", s)
			}
		}
		if id, yes := i.stranger(name); yes && (id == "r1" || id == "" || len(id) > maxID) {
			t.Fatalf("%q is a stranger by %q", id, name)
		}
		if !i.concerns(name) {
			return
		}
		out, _ := i.diagnostic(status{name: name, message: message, level: level, values: map[string]string{key: value}}, now)
		if len(out) == 0 || len(out) > 3 {
			t.Fatalf("%d observations", len(out))
		}
		var facts robot.Facts
		for _, o := range out {
			facts = facts.With(o)
		}
		if d := facts.Diagnostics[name]; d.Level > robot.Stale || !d.At.Equal(now) {
			t.Fatalf("%+v", facts)
		}
	})
}
