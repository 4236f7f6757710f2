package check

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/handover"
	"github.com/robot-platform/robot-ota/agent/internal/journal"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestClock(t *testing.T) {
	follows := func(ok bool, err error) Sync { return func() (bool, error) { return ok, err } }
	at := func(t time.Time) func() time.Time { return func() time.Time { return t } }
	asked := func(a Answer) func(context.Context) Answer { return func(context.Context) Answer { return a } }
	good := "ok the clock follows a time server"
	finds(t, Clock(at(noon), follows(true, nil), asked(Answer{Dated: true, Ahead: -2 * time.Second})), good, "ok the clock agrees with the update server's")
	finds(t, Clock(at(noon), follows(true, nil), asked(Answer{Dated: true, Ahead: 40 * time.Second})), good, "warn the clock is 40s ahead of the update server's => find out which of the two")
	finds(t, Clock(at(noon), follows(true, nil), asked(Answer{Dated: true, Ahead: -11 * time.Minute})), good, "fail the clock is 11m0s behind the update server's")
	finds(t, Clock(at(noon), follows(false, nil), asked(Answer{})), "warn the clock follows no time server … => timedatectl set-ntp true", "skipped the update server's clock is not known")
	finds(t, Clock(at(noon), follows(false, errors.New("not permitted")), nil), "skipped whether it follows a time server: not permitted")
	for _, when := range []time.Time{time.Unix(0, 0), time.Date(2155, 1, 1, 0, 0, 0, 0, time.UTC)} {
		finds(t, Clock(at(when), follows(true, nil), nil), "fail the clock says "+when.UTC().Format(time.DateTime)+": no certificate is valid then => timedatectl")
	}
	if _, err := Synchronised(); err != nil {
		t.Logf("this machine does not tell: %v", err)
	}
}

func TestAgent(t *testing.T) {
	none := says(handover.Service{Load: "not-found"}, nil)
	well := func() *control.Health {
		return &control.Health{Version: "1.0", PID: 7, Started: noon, Watchdog: 120, Status: update.Status{State: update.Idle}}
	}
	with := func(f func(*control.Health)) *control.Health { h := well(); f(h); return h }
	up := "ok version 1.0 runs since … (pid 7)"
	finds(t, Agent(well(), nil, "1.0", none, ""), up)
	finds(t, Agent(well(), nil, "1.1", none, ""), "warn the agent that runs is version 1.0, this program 1.1 … => systemctl restart robot-ota")
	finds(t, Agent(with(func(h *control.Health) { h.Stuck = "no progress" }), nil, "1.0", none, ""), "fail the agent is stuck: no progress => journalctl")
	finds(t, Agent(with(func(h *control.Health) {
		h.Status = update.Status{State: update.Writing, Held: true, Message: "writing"}
	}), nil, "1.0", none, ""), up, "ok an update goes on: writing")
	finds(t, Agent(with(func(h *control.Health) {
		h.Status = update.Status{State: update.Failed, Held: true, Message: "port is gone"}
	}), nil, "1.0", none, ""), up, "fail the chip or its line is still in the agent's hands: port is gone => plug the cable in")
	finds(t, Agent(with(func(h *control.Health) { h.FoundHeld, h.Damaged = true, "/x.damaged" }), nil, "1.0", none, ""), up, "warn the agent before this one ended while it had the chip", "warn its memory was damaged when it started, and put aside as /x.damaged")

	unit := handover.Service{Load: "loaded", Active: "active", Enabled: "enabled", Watchdog: 2 * time.Minute}
	finds(t, Agent(well(), nil, "1.0", says(unit, nil), ""), up, "ok systemd watches it")
	unit.Restarts, unit.Result, unit.Enabled = 3, "watchdog", "disabled"
	finds(t, Agent(with(func(h *control.Health) { h.Watchdog = 0 }), nil, "1.0", says(unit, nil), ""), up,
		`warn systemd has restarted it 3 times; its last run ended as "watchdog" => journalctl`, "warn systemd's watchdog is on for the service", "warn the service is not started at boot => systemctl enable robot-ota")
	finds(t, Agent(well(), nil, "1.0", says(handover.Service{}, errors.New("no bus")), ""), up)

	away := fmt.Errorf("%w on /s", control.ErrUnreachable)
	for _, tt := range []struct {
		asked error
		unit  manager
		want  string
	}{
		{away, none, "fail no agent runs => systemctl start robot-ota, or without the package"},
		{away, says(handover.Service{}, errors.New("no bus")), "fail no agent runs => "},
		{away, says(handover.Service{Load: "loaded", Active: "inactive"}, nil), "fail no agent runs: the service is inactive => systemctl start robot-ota"},
		{away, says(handover.Service{Load: "loaded", Active: "failed", Result: "exit-code"}, nil), "fail the service has failed (exit-code) => journalctl -u robot-ota -n 50 tells why"},
		{away, says(handover.Service{Load: "loaded", Active: "failed", Result: "start-limit-hit"}, nil), "fail … systemctl reset-failed robot-ota"},
		{away, says(handover.Service{Load: "loaded", Active: "activating", Result: "watchdog", Restarts: 2}, nil), "warn the service is starting, or waits for its restart (watchdog, 2 so far)"},
		{fmt.Errorf("%w on /s", control.ErrDenied), none, "warn not allowed to talk to the agent … => run `sudo ota-agent doctor`, or join its group"},
		{&control.Problem{Code: control.NotFound}, none, "warn the agent that runs is older than this program"},
		{context.DeadlineExceeded, none, "fail the agent does not answer as it should: context deadline exceeded => journalctl"},
	} {
		finds(t, Agent(nil, tt.asked, "1.0", tt.unit, ""), tt.want)
	}

	dir := filepath.Join(t.TempDir(), "state")
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	finds(t, Agent(nil, away, "1.0", none, dir), "fail no agent runs")
	m := update.New()
	m.Held, m.Loader = true, true
	m.Job = update.Job{ID: "j1", State: update.Writing}
	if err := j.Save(m); err != nil {
		t.Fatal(err)
	}
	finds(t, Agent(nil, away, "1.0", none, dir), "fail no agent runs",
		"fail the agent that ended has left this behind: the chip may sit in its serial loader; the micro-ROS agent may be stopped; update j1 is writing => start the agent")
	m = update.New()
	m.Job = update.Job{ID: "j1", State: update.Observing, Image: update.Image{Version: compat.Version{Minor: 2}}}
	if err := j.Save(m); err != nil {
		t.Fatal(err)
	}
	finds(t, Agent(nil, away, "1.0", none, dir), "fail no agent runs", "fail … firmware 0.2.0 is not observed any more")
}

// well is a robot of which all is heard.
func well() Heard {
	h := Heard{At: noon, Hearing: robot.Hearing{Node: "/ota_agent", Domain: "3", Others: 2}}
	for role, rate := range map[robot.Role]float64{robot.BatteryRole: 1, robot.EStopRole: 1, robot.OdomRole: 50, robot.CmdVelRole: 0, robot.DiagnosticsRole: 2, robot.DockRole: 1} {
		h.Topics = append(h.Topics, robot.Topic{Role: role, Name: "/" + string(role), Heard: 100, Rate: rate, At: noon.Add(-time.Second), Publishers: []robot.Publisher{{Node: "/esp32"}}})
	}
	h.Firmware = &control.Spoken{At: noon.Add(-time.Second), Values: map[string]string{
		"firmware_version": "0.2.0", "protocol_version": "1", "app_sha256": "", "slot": "ota_0", "ota_state": "valid", "boot_count": "3",
		"reset_reason": "power_on", "safety_state": "normal", "motors": "idle", "self_test": "passed"}}
	h.Firmware.Values["app_sha256"] = "abababababababababababababababababababababababababababababababab"
	return h
}

// of is what is found about one topic, or with "" about the firmware.
func of(t *testing.T, cfg config.Config, h Heard, role robot.Role) doctor.Finding {
	t.Helper()
	found := ROS(cfg, func(context.Context) (Heard, doctor.Finding) { return h, doctor.Finding{} }).Run(t.Context())
	if len(found) != len(h.Topics)+1 {
		t.Fatalf("%+v", found)
	}
	for i, x := range h.Topics {
		if x.Role == role {
			return found[i]
		}
	}
	return found[len(found)-1]
}

func TestROS(t *testing.T) {
	cfg := config.Default()
	cfg.Robot.ID = "r1"
	mains, odom, dock := cfg, cfg, cfg
	mains.Robot.MainsPowered, odom.Gates.NeedOdometry, dock.Gates.NeedDock = true, true, true
	dock.Gates.DockFresh = config.Duration(time.Minute)
	topic := func(h Heard, role robot.Role) *robot.Topic {
		for i := range h.Topics {
			if h.Topics[i].Role == role {
				return &h.Topics[i]
			}
		}
		panic("no such topic")
	}
	never := func(role robot.Role) func(*Heard) {
		return func(h *Heard) {
			x := topic(*h, role)
			x.Heard, x.Rate, x.At, x.Publishers = 0, 0, time.Time{}, nil
		}
	}
	for _, tt := range []struct {
		name string
		cfg  config.Config
		role robot.Role
		harm func(*Heard)
		want string
	}{
		{"battery", cfg, robot.BatteryRole, func(*Heard) {}, "ok /battery arrives at 1.0 Hz from /esp32"},
		{"commands", cfg, robot.CmdVelRole, func(*Heard) {}, "ok /cmd_vel is heard, last 1s ago"},
		{"no commands", cfg, robot.CmdVelRole, never(robot.CmdVelRole), "ok /cmd_vel: nobody asks for motion"},
		{"no battery", cfg, robot.BatteryRole, never(robot.BatteryRole), "fail /battery is not heard: nobody publishes it. Without it no update begins => see that what publishes it runs (ros2 topic info -v /battery; the ESP32's topics come through the micro-ROS agent), or set ros.topics.battery"},
		{"on mains", mains, robot.BatteryRole, never(robot.BatteryRole), "skipped /battery: this robot has no battery (robot.mains_powered)"},
		{"no odometry", cfg, robot.OdomRole, never(robot.OdomRole), "warn /odom is not heard: nobody publishes it. The agent cannot see whether the robot moves"},
		{"needed odometry", odom, robot.OdomRole, never(robot.OdomRole), "fail /odom is not heard"},
		{"a dock that nobody needs", cfg, robot.DockRole, never(robot.DockRole), "warn /dock is not heard: nobody publishes it. It is not needed (gates.need_dock)"},
		{"needed dock", dock, robot.DockRole, never(robot.DockRole), "fail /dock is not heard"},
		{"a dock that is told now and then", dock, robot.DockRole, func(h *Heard) { topic(*h, robot.DockRole).At = h.At.Add(-50 * time.Second) }, "ok /dock arrives"},
		{"a dock of long ago", dock, robot.DockRole, func(h *Heard) { topic(*h, robot.DockRole).At = h.At.Add(-2 * time.Minute) }, "fail /dock was last heard 2m0s ago; a reading counts for 1m0s (gates.dock_fresh)"},
		{"mute publisher", cfg, robot.EStopRole, func(h *Heard) {
			never(robot.EStopRole)(h)
			topic(*h, robot.EStopRole).Publishers = []robot.Publisher{{Node: "/esp32"}}
		}, "fail /estop is not heard: /esp32 has it, and has said nothing"},
		{"mismatch", cfg, robot.EStopRole, func(h *Heard) {
			never(robot.EStopRole)(h)
			topic(*h, robot.EStopRole).Publishers = []robot.Publisher{{Node: "/esp32", Mismatch: "it offers volatile"}}
		}, "fail /estop is not heard: /esp32 publishes it, but it offers volatile => let /esp32 publish it as the agent asks for it"},
		{"unknown graph", cfg, robot.EStopRole, func(h *Heard) {
			never(robot.EStopRole)(h)
			topic(*h, robot.EStopRole).Unknown = "no graph"
		}, "fail /estop is not heard: who publishes it is not known: no graph"},
		{"stale", cfg, robot.DiagnosticsRole, func(h *Heard) { topic(*h, robot.DiagnosticsRole).At = noon.Add(-42 * time.Second) }, "fail /diagnostics was last heard 42s ago; a reading counts for 5s (gates.fresh) => see what became"},
		{"rare", cfg, robot.BatteryRole, func(h *Heard) { topic(*h, robot.BatteryRole).Rate = 0.1 }, "warn /battery arrives at 0.1 Hz only, and a reading counts for 5s: it goes stale in between => publish it more often"},
		{"firmware", cfg, "", func(*Heard) {}, "ok firmware 0.2.0 runs from ota_0 (valid)"},
		{"no firmware", cfg, "", func(h *Heard) { h.Firmware = nil }, "fail the diagnostics hold no status r1/firmware: the agent does not know what runs => let the firmware publish it"},
		{"wrong robot", cfg, "", func(h *Heard) { h.Firmware, h.Strangers = nil, []string{"r2", "r3"} }, "fail the diagnostics hold no status r1/firmware, but those of r2, r3: a wrong robot id? => set robot.id"},
		{"odd version", cfg, "", func(h *Heard) { h.Firmware.Values["firmware_version"] = "banana" }, `fail what the firmware says of itself cannot be read: firmware status "r1/firmware", value "firmware_version"`},
		{"missing", cfg, "", func(h *Heard) { delete(h.Firmware.Values, "slot"); delete(h.Firmware.Values, "ota_state") }, "fail the status r1/firmware lacks slot, ota_state: an update could not be confirmed => let the firmware publish them"},
		{"optional", cfg, "", func(h *Heard) { delete(h.Firmware.Values, "motors") }, "ok firmware 0.2.0 runs from ota_0 (valid); it does not tell motors"},
		{"silent", cfg, "", func(h *Heard) { h.Firmware.At = noon.Add(-time.Minute) }, "fail the firmware last spoke 1m0s ago"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := well()
			tt.harm(&h)
			f := of(t, tt.cfg, h, tt.role)
			finds(t, doctor.Check{Run: func(context.Context) []doctor.Finding { return []doctor.Finding{f} }}, tt.want)
		})
	}
	h := well()
	h.Others = 0
	for i := range h.Topics {
		h.Topics[i].Heard = 0
	}
	finds(t, ROS(cfg, func(context.Context) (Heard, doctor.Finding) { return h, doctor.Finding{} }), "fail /ota_agent hears no other node in ROS domain 3 => set ROS_DOMAIN_ID")
	finds(t, ROS(cfg, func(context.Context) (Heard, doctor.Finding) { return Heard{}, doctor.Skip("no ROS") }), "skipped no ROS")
}
