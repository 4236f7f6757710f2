package robot

import (
	"fmt"
	"slices"
	"strings"
)

// Surroundings are what is around the robot and what becomes of its words,
// beyond what its firmware does by itself.
type Surroundings struct {
	Docked bool `json:"docked"`
	// WiFi and Thermal are the values wifi_rssi and thermal of the status
	// ID/system.
	WiFi    Reported `json:"wifi"`
	Thermal Reported `json:"thermal"`
	// Level and Message of the status ID/system.
	Level   uint8  `json:"level"`
	Message string `json:"message"`
	// Muted are the topics and statuses that are not published: see Mutable.
	Muted []string `json:"muted"`
}

// Reported is a value of a status; it may be any text, also one that makes no
// sense.
type Reported struct {
	Text   string `json:"text"`
	Absent bool   `json:"absent"` // it is not reported at all
}

// calm is the surroundings of a robot that nothing ails.
func calm() Surroundings {
	return Surroundings{WiFi: Reported{Text: "-52"}, Thermal: Reported{Text: "ok"}, Message: "ok"}
}

// Mutable lists what can be muted: topics by their names (the diagnostics as a
// whole among them) and, of the diagnostics, statuses.
func Mutable() []string {
	return []string{"battery_state", "emergency_stop_state", "odom", "docked", "diagnostics", "system", "firmware", "safety"}
}

// Mutes says whether a topic or status is not published.
func (s Surroundings) Mutes(name string) bool { return slices.Contains(s.Muted, name) }

// maxText bounds what is set by hand, in bytes.
const maxText = 256

// Surround changes the robot's surroundings; what change refuses is not done.
func (r *Robot) Surround(change func(*Surroundings)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.around
	change(&next)
	for _, name := range next.Muted {
		if !slices.Contains(Mutable(), name) {
			return fmt.Errorf("mute %q: want some of %s", name, strings.Join(Mutable(), ", "))
		}
	}
	if next.Level > 3 {
		return fmt.Errorf("level %d: want 0 ok, 1 warn, 2 error or 3 stale", next.Level)
	}
	if len(next.Message)+len(next.WiFi.Text)+len(next.Thermal.Text) > maxText {
		return fmt.Errorf("texts of more than %d bytes", maxText)
	}
	r.around = next
	r.tell()
	return nil
}

// system is the status ID/system.
func (s Surroundings) system(id string) Status {
	values := []Value{{"temperature", "41.5"}}
	if !s.WiFi.Absent {
		values = append(values, Value{"wifi_rssi", s.WiFi.Text})
	}
	if !s.Thermal.Absent {
		values = append(values, Value{"thermal", s.Thermal.Text})
	}
	return Status{id + "/system", s.Level, s.Message, values}
}

// heard is the statuses that are not muted.
func (s Surroundings) heard(id string, all []Status) []Status {
	return slices.DeleteFunc(all, func(d Status) bool {
		return s.Mutes("diagnostics") || s.Mutes(strings.TrimPrefix(d.Name, id+"/"))
	})
}
