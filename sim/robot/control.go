package robot

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

// State is what Control tells of a robot.
type State struct {
	ID       string             `json:"id"`
	App      espsim.AppStatus   `json:"app"`
	Flash    espsim.FlashReport `json:"flash"`
	Counters espsim.Counters    `json:"counters"`
	Cable    bool               `json:"cable"`
	Sample   Sample             `json:"sample"`
	// Links says where the serial line is to be had, by kind.
	Links map[string]string `json:"links"`
}

// Requests of Control.
type (
	// Reset presses the buttons; To is "bootloader" or "app".
	Reset struct {
		To string `json:"to"`
	}
	// Power gives or cuts the chip's power.
	Power struct {
		On bool `json:"on"`
	}
	// Cable plugs or pulls the serial cable.
	Cable struct {
		Plugged bool `json:"plugged"`
	}
	// Charge sets the battery.
	Charge struct {
		Fraction float64 `json:"fraction"`
		Charging bool    `json:"charging"`
		Unknown  bool    `json:"unknown"` // its driver does not know: NaN
	}
	// Dock puts the robot on its dock or takes it off.
	Dock struct {
		Docked bool `json:"docked"`
	}
	// Health is the status ID/system.
	Health struct {
		Level   uint8  `json:"level"` // 0 ok, 1 warn, 2 error, 3 stale
		Message string `json:"message"`
	}
	// Mute keeps topics and statuses from being published, all others not: see
	// Mutable.
	Mute struct {
		Names []string `json:"names"`
	}
)

// maxBody bounds a request.
const maxBody = 64 << 10

// Control is the HTTP API of a robot. GET /state and /flash tell; POST
// /reset, /power, /cable, /faults, /battery, /estop, /velocity, /dock, /wifi,
// /thermal, /health and /mute do.
func Control(r *Robot, links map[string]string) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		plugged, _ := r.chip.Cable()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(State{
			ID: r.id, App: r.chip.App(), Flash: r.chip.Report(), Counters: r.chip.Counters(),
			Cable: plugged, Sample: r.Sample(), Links: links,
		})
	})
	m.HandleFunc("GET /flash", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(r.chip.Flash())
	})
	handle(m, "/reset", func(q Reset) error {
		switch q.To {
		case "bootloader":
			r.chip.ResetToBootloader()
		case "app":
			r.chip.ResetToApp()
		default:
			return fmt.Errorf("reset to %q: want \"bootloader\" or \"app\"", q.To)
		}
		return nil
	})
	handle(m, "/power", func(q Power) error {
		if q.On {
			r.chip.PowerOn()
		} else {
			r.chip.PowerCut()
		}
		return nil
	})
	handle(m, "/cable", func(q Cable) error {
		if q.Plugged {
			r.chip.Plug()
		} else {
			r.chip.Unplug()
		}
		return nil
	})
	handle(m, "/faults", func(q espsim.Faults) error { r.chip.SetFaults(q); return nil })
	handle(m, "/battery", r.SetCharge)
	handle(m, "/estop", r.SetEStop)
	handle(m, "/velocity", func(q Twist) error { return r.SetVelocity(q.Linear, q.Angular) })
	handle(m, "/dock", func(q Dock) error { return r.Surround(func(s *Surroundings) { s.Docked = q.Docked }) })
	handle(m, "/wifi", func(q Reported) error { return r.Surround(func(s *Surroundings) { s.WiFi = q }) })
	handle(m, "/thermal", func(q Reported) error { return r.Surround(func(s *Surroundings) { s.Thermal = q }) })
	handle(m, "/health", func(q Health) error {
		return r.Surround(func(s *Surroundings) { s.Level, s.Message = q.Level, q.Message })
	})
	handle(m, "/mute", func(q Mute) error { return r.Surround(func(s *Surroundings) { s.Muted = q.Names }) })
	return m
}

// handle serves POST requests of one JSON type.
func handle[T any](m *http.ServeMux, path string, do func(T) error) {
	m.HandleFunc("POST "+path, func(w http.ResponseWriter, req *http.Request) {
		var q T
		d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody))
		d.DisallowUnknownFields()
		err := d.Decode(&q)
		if err == nil {
			if _, more := d.Token(); more != io.EOF {
				err = fmt.Errorf("more than one JSON value")
			}
		}
		if err == nil {
			err = do(q)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
