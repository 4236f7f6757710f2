package preflight

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// scene is everything that the gates are asked about.
type scene struct {
	facts robot.Facts
	held  []Inhibitor
	c     Candidate
	p     Policy
	now   time.Time
}

// at is a robot that may be updated, all of it heard at now.
func at(now time.Time) *scene {
	p := policy()
	p.NeedDock, p.DockTopic = true, true
	p.Maintenance = []Window{hourly(45 * time.Minute)}
	return &scene{now: now, p: p, facts: ready(now).With(robot.Dock{Docked: true, At: now}).
		With(robot.Conditions{RSSI: robot.Value{Text: "-52", At: now}, Thermal: robot.Value{Text: "ok", At: now}})}
}

func (s *scene) hear(o robot.Observation) { s.facts = s.facts.With(o) }

func (s *scene) codes() []Code { return codes(s.check()) }

func (s *scene) check() []Reason { return Check(s.facts, s.held, s.c, s.p, s.now) }

// do changes a scene.
type do func(s *scene)

func both(all ...do) do {
	return func(s *scene) {
		for _, f := range all {
			f(s)
		}
	}
}

func battery(fraction float64) do {
	return func(s *scene) { s.hear(robot.Battery{Fraction: fraction, At: s.now}) }
}

func estop(e robot.EStop) do {
	return func(s *scene) { e.At = s.now; s.hear(e) }
}

func odometry(linear, angular float64) do {
	return func(s *scene) { s.hear(robot.Odometry{Linear: linear, Angular: angular, At: s.now}) }
}

func command(linear, angular float64) do {
	return func(s *scene) { s.hear(robot.Command{Linear: linear, Angular: angular, At: s.now}) }
}

func diagnostic(l robot.Level) do {
	return func(s *scene) { s.hear(robot.Diagnostic{Name: "r/x", Level: l, At: s.now}) }
}

func rssi(text string) do {
	return func(s *scene) { s.hear(robot.Conditions{RSSI: robot.Value{Text: text, At: s.now}}) }
}

func thermal(text string) do {
	return func(s *scene) { s.hear(robot.Conditions{Thermal: robot.Value{Text: text, At: s.now}}) }
}

func docked(is bool) do {
	return func(s *scene) { s.hear(robot.Dock{Docked: is, At: s.now}) }
}

// firmware changes what the firmware says of itself.
func firmware(change func(w *robot.Firmware)) do {
	return func(s *scene) { change(&s.facts.Firmware) }
}

// old makes a reading as old as a reading may not be.
func old(of func(s *scene) *time.Time) do {
	return func(s *scene) { *of(s) = s.now.Add(-s.p.Fresh - time.Millisecond) }
}

func minutes(n time.Duration) do { return func(s *scene) { s.now = noon.Add(n); *s = *at(s.now) } }

// gate is how one gate is shut and opened, and what it makes of what it does
// not know.
type gate struct {
	shut, open do
	// stale and never are what becomes of a reading that is too old or that was
	// never heard, and which gate that shuts ("": none). Where a gate has no
	// reading of its own, why says so.
	stale, never         do
	staleCode, neverCode Code
	why                  string
	// edges are exactly the threshold and the next values on both sides; whether
	// the gate is shut.
	edges map[string]edge
}

type edge struct {
	do   do
	shut bool
}

// up is the next larger float64.
func up(x float64) float64 { return math.Nextafter(x, math.Inf(1)) }

func down(x float64) float64 { return math.Nextafter(x, math.Inf(-1)) }

func ages(of func(s *scene) *time.Time) map[string]edge {
	aged := func(d time.Duration) do { return func(s *scene) { *of(s) = s.now.Add(-d) } }
	fresh := DefaultPolicy().Fresh
	return map[string]edge{
		"just old enough to count": {aged(fresh), false}, "just younger": {aged(fresh - 1), false}, "just older": {aged(fresh + 1), true},
		"just in the future": {aged(-fresh - 1), true}, "a clock that was set back a little": {aged(-fresh), false},
	}
}

// The moments at which the readings were heard.
func batteryAt(s *scene) *time.Time  { return &s.facts.Battery.At }
func estopAt(s *scene) *time.Time    { return &s.facts.EStop.At }
func odometryAt(s *scene) *time.Time { return &s.facts.Odometry.At }
func firmwareAt(s *scene) *time.Time { return &s.facts.Firmware.At }
func rssiAt(s *scene) *time.Time     { return &s.facts.Conditions.RSSI.At }
func thermalAt(s *scene) *time.Time  { return &s.facts.Conditions.Thermal.At }
func dockAt(s *scene) *time.Time     { return &s.facts.Dock.At }

// gatesTable has a row for each Code; TestEveryGateHasItsRow sees to that.
func gatesTable() map[Code]gate {
	noBattery := do(func(s *scene) { s.facts.Battery = robot.Battery{} })
	noEStop := do(func(s *scene) { s.facts.EStop = robot.EStop{} })
	noDiagnostics := do(func(s *scene) { s.facts.Diagnostics = nil })
	oldDiagnostics := do(func(s *scene) {
		s.facts.Diagnostics = map[string]robot.Diagnostic{"r/x": {Name: "r/x", At: s.now.Add(-s.p.Fresh - 1)}}
	})
	noFirmware := do(func(s *scene) { s.facts.Firmware = robot.Firmware{} })
	noOdometry := do(func(s *scene) { s.facts.Odometry = robot.Motion{} })
	noDock := do(func(s *scene) { s.facts.Dock = robot.Dock{} })
	noRSSI := do(func(s *scene) { s.facts.Conditions.RSSI = robot.Value{} })
	noThermal := do(func(s *scene) { s.facts.Conditions.Thermal = robot.Value{} })
	normal := firmware(func(w *robot.Firmware) { *w = ready(w.At).Firmware })
	motors := func(word string) do { return firmware(func(w *robot.Firmware) { w.Motors = word }) }
	state := func(word string) do { return firmware(func(w *robot.Firmware) { w.OTAState = word }) }
	safety := func(word string) do { return firmware(func(w *robot.Firmware) { w.SafetyState = word }) }
	p := DefaultPolicy()
	lease := func(d time.Duration) do {
		return func(s *scene) { s.held = []Inhibitor{{Owner: "nav", Since: noon, Until: s.now.Add(d)}} }
	}
	released := do(func(s *scene) { s.held = nil })
	target := func(v compat.Version, speaks compat.Protocol) do {
		return func(s *scene) { s.c.Version, s.c.Protocol = v, speaks }
	}
	return map[Code]gate{
		BatteryUnknown: {
			shut: old(batteryAt), open: battery(0.8), stale: old(batteryAt), staleCode: BatteryUnknown, never: noBattery, neverCode: BatteryUnknown,
			edges: join(ages(batteryAt), map[string]edge{
				"NaN": {battery(math.NaN()), true}, "full": {battery(1), false}, "fuller": {battery(up(1)), true},
				"less than empty": {battery(down(0)), true}, "in percent": {battery(80), true}, "infinite": {battery(math.Inf(1)), true},
			}),
		},
		BatteryLow: {
			shut: battery(0.4), open: battery(0.6), stale: both(battery(0.4), old(batteryAt)), staleCode: BatteryUnknown, never: noBattery, neverCode: BatteryUnknown,
			edges: map[string]edge{
				"at": {battery(0.5), true}, "below": {battery(down(0.5)), true}, "above": {battery(up(0.5)), false}, "empty": {battery(0), true},
				"on mains": {both(battery(0.1), func(s *scene) { s.p.Mains = true }), false},
			},
		},
		EStopUnknown: {
			shut: old(estopAt), open: estop(robot.EStop{}), stale: old(estopAt), staleCode: EStopUnknown, never: noEStop, neverCode: EStopUnknown,
			edges: ages(estopAt),
		},
		EStopActive: {
			shut: estop(robot.EStop{Stopped: true}), open: estop(robot.EStop{}), stale: both(estop(robot.EStop{Stopped: true}), old(estopAt)), staleCode: EStopUnknown,
			never: noEStop, neverCode: EStopUnknown,
			edges: map[string]edge{
				"by its state alone": {estop(robot.EStop{State: robot.EStopStopped}), true}, "recovering": {estop(robot.EStop{State: robot.EStopRecovery}), true},
				"a state that there is not": {estop(robot.EStop{State: 9}), true}, "normal": {estop(robot.EStop{State: robot.EStopNormal}), false},
			},
		},
		DiagnosticsGone: {
			shut: oldDiagnostics, open: diagnostic(robot.OK), stale: oldDiagnostics, staleCode: DiagnosticsGone, never: noDiagnostics, neverCode: DiagnosticsGone,
			edges: map[string]edge{
				"just fresh": {func(s *scene) {
					noDiagnostics(s)
					s.hear(robot.Diagnostic{Name: "r/x", At: s.now.Add(-s.p.Fresh)})
				}, false},
				"by its own word":       {diagnostic(robot.Stale), true},
				"by an old word of its": {both(func(s *scene) { s.hear(robot.Diagnostic{Name: "r/y", Level: robot.Stale, At: s.now.Add(-p.Fresh - 1)}) }), false},
			},
		},
		DiagnosticsBad: {
			shut: diagnostic(robot.Error), open: diagnostic(robot.OK), stale: oldDiagnostics, staleCode: DiagnosticsGone, never: noDiagnostics, neverCode: DiagnosticsGone,
			edges: map[string]edge{
				"OK": {diagnostic(robot.OK), false}, "WARN": {diagnostic(robot.Warn), false},
				"published once a minute": {func(s *scene) { s.hear(robot.Diagnostic{Name: "r/y", Level: robot.Error, At: s.now.Add(-time.Minute)}) }, true},
				"of who has left": {func(s *scene) {
					s.hear(robot.Diagnostic{Name: "r/y", Level: robot.Error, At: s.now.Add(-time.Minute - 1)})
				}, false},
			},
		},
		FirmwareUnknown: {
			shut: old(firmwareAt), open: func(s *scene) { s.hear(ready(s.now).Firmware) }, stale: old(firmwareAt), staleCode: FirmwareUnknown,
			never: noFirmware, neverCode: FirmwareUnknown, edges: ages(firmwareAt),
		},
		FirmwareOnTrial: {
			shut: state("pending_verify"), open: normal, stale: both(state("new"), old(firmwareAt)), staleCode: FirmwareUnknown, never: noFirmware, neverCode: FirmwareUnknown,
			edges: map[string]edge{
				"new": {state("new"), true}, "valid": {state("valid"), false}, "from factory": {state("undefined"), false}, "says nothing": {state(""), false},
			},
		},
		FirmwareUnsafe: {
			shut: safety("fault"), open: normal, stale: both(safety("fault"), old(firmwareAt)), staleCode: FirmwareUnknown, never: noFirmware, neverCode: FirmwareUnknown,
			edges: map[string]edge{
				"estop": {safety("estop"), true}, "normal": {safety("normal"), false}, "NORMAL": {safety("NORMAL"), false}, "says nothing": {safety(""), false},
				"a word like it": {safety("normal?"), true},
			},
		},
		MotorsBusy: {
			shut: motors("running"), open: normal, stale: both(motors("running"), old(firmwareAt)), staleCode: FirmwareUnknown, never: noFirmware, neverCode: FirmwareUnknown,
			edges: map[string]edge{
				"idle": {motors("idle"), false}, "Idle": {motors("Idle"), false}, "idle, with space": {motors(" idle"), true},
				"says nothing, and odometry tells": {motors(""), false},
			},
		},
		MotionUnknown: {
			shut: old(odometryAt), open: odometry(0, 0), stale: old(odometryAt), staleCode: MotionUnknown,
			never: both(noOdometry, motors("")), neverCode: MotionUnknown,
			edges: join(ages(odometryAt), map[string]edge{
				"no odometry, motors idle":                 {noOdometry, false},
				"no odometry, and it is needed":            {both(noOdometry, func(s *scene) { s.p.NeedOdometry = true }), true},
				"no odometry, a command whose author died": {both(noOdometry, motors(""), func(s *scene) { s.hear(robot.Command{Linear: 1, At: s.now.Add(-time.Minute)}) }), true},
			}),
		},
		Moving: {
			shut: odometry(0.3, 0), open: odometry(0, 0), stale: both(odometry(0.3, 0), old(odometryAt)), staleCode: MotionUnknown,
			never: both(noOdometry, motors("")), neverCode: MotionUnknown,
			edges: map[string]edge{
				"at": {odometry(p.MaxLinear, p.MaxAngular), false}, "below": {odometry(down(p.MaxLinear), down(p.MaxAngular)), false},
				"above": {odometry(up(p.MaxLinear), 0), true}, "turning, above": {odometry(0, up(p.MaxAngular)), true},
				"backwards": {odometry(-0.3, 0), true}, "turning backwards": {odometry(0, -1), true},
				"NaN": {odometry(math.NaN(), 0), true}, "NaN, turning": {odometry(0, math.NaN()), true}, "infinite": {odometry(math.Inf(1), 0), true},
			},
		},
		Commanded: {
			shut: command(0.3, 0), open: command(0, 0), stale: both(command(0.3, 0), old(func(s *scene) *time.Time { return &s.facts.Command.At })), staleCode: "",
			never: func(s *scene) { s.facts.Command = robot.Motion{} }, neverCode: "",
			edges: map[string]edge{
				"at": {command(p.MaxLinear, p.MaxAngular), false}, "below": {command(down(p.MaxLinear), 0), false}, "above": {command(up(p.MaxLinear), 0), true},
				"turning": {command(0, -1), true}, "NaN": {command(math.NaN(), 0), true},
			},
		},
		WiFiUnknown: {
			shut: rssi("strong"), open: rssi("-52"), stale: old(rssiAt), staleCode: WiFiUnknown, never: noRSSI, neverCode: "",
			edges: join(ages(rssiAt), map[string]edge{
				"empty": {rssi(""), true}, "NaN": {rssi("NaN"), true}, "infinite": {rssi("-Inf"), true}, "not connected": {rssi("0"), true}, "positive": {rssi("52"), true},
				"another unit": {rssi("-52 dB"), true}, "the unit alone": {rssi("dBm"), true}, "with its unit": {rssi("-52 dBm"), false}, "with space": {rssi(" -52.5dbm "), false},
				"unreadable, and not asked for": {both(rssi("?"), func(s *scene) { s.p.MinRSSI = 0 }), false},
			}),
		},
		WiFiWeak: {
			shut: rssi("-80"), open: rssi("-60"), stale: both(rssi("-80"), old(rssiAt)), staleCode: WiFiUnknown, never: noRSSI, neverCode: "",
			edges: map[string]edge{
				"at": {rssi("-70"), false}, "below": {rssi("-70.01"), true}, "above": {rssi("-69.99"), false},
				"not asked for": {both(rssi("-120"), func(s *scene) { s.p.MinRSSI = 0 }), false},
			},
		},
		ThermalUnknown: {
			shut: thermal(""), open: thermal("ok"), stale: old(thermalAt), staleCode: ThermalUnknown, never: noThermal, neverCode: "",
			edges: join(ages(thermalAt), map[string]edge{
				"blank": {thermal("  "), true}, "not asked for": {both(thermal(""), func(s *scene) { s.p.ThermalOK = nil }), false},
			}),
		},
		ThermalWarning: {
			shut: thermal("warning"), open: thermal("ok"), stale: both(thermal("warning"), old(thermalAt)), staleCode: ThermalUnknown, never: noThermal, neverCode: "",
			edges: map[string]edge{
				"critical": {thermal("critical"), true}, "normal": {thermal("normal"), false}, "OK": {thermal(" OK "), false},
				"a word that nobody knows": {thermal("tepid"), true}, "not asked for": {both(thermal("critical"), func(s *scene) { s.p.ThermalOK = nil }), false},
			},
		},
		DockUnknown: {
			shut: old(dockAt), open: docked(true), stale: old(dockAt), staleCode: DockUnknown, never: noDock, neverCode: DockUnknown,
			edges: join(ages(dockAt), map[string]edge{
				"not needed":               {both(noDock, func(s *scene) { s.p.NeedDock = false }), false},
				"latched, and long may be": {func(s *scene) { s.p.DockFresh = time.Hour; s.facts.Dock.At = s.now.Add(-time.Hour) }, false},
				"latched, and longer ago":  {func(s *scene) { s.p.DockFresh = time.Hour; s.facts.Dock.At = s.now.Add(-time.Hour - 1) }, true},
			}),
		},
		Undocked: {
			shut: docked(false), open: docked(true), stale: both(docked(false), old(dockAt)), staleCode: DockUnknown, never: noDock, neverCode: DockUnknown,
			edges: map[string]edge{
				"not needed":         {both(docked(false), func(s *scene) { s.p.NeedDock = false }), false},
				"no topic, charging": {func(s *scene) { s.p.DockTopic = false; s.hear(robot.Battery{Fraction: 0.8, Charging: true, At: s.now}) }, false},
				"no topic, draining": {func(s *scene) { s.p.DockTopic = false }, true},
			},
		},
		OutsideWindow: {
			shut: minutes(50 * time.Minute), open: minutes(10 * time.Minute), why: "nothing is heard: the clock tells",
			edges: map[string]edge{
				"at its start": {minutes(0), false}, "just before": {minutes(time.Hour - 1), true},
				"at its end": {minutes(45 * time.Minute), true}, "just before its end": {minutes(45*time.Minute - 1), false},
				"at any time":                {both(minutes(50*time.Minute), func(s *scene) { s.c.AnyTime = true }), false},
				"no windows":                 {both(minutes(50*time.Minute), func(s *scene) { s.p.Maintenance = nil }), false},
				"one that never opens":       {func(s *scene) { s.p.Maintenance = []Window{{Spec: "never", For: time.Hour, Zone: time.UTC}} }, true},
				"a clock that was never set": {func(s *scene) { *s = *at(time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)) }, true},
			},
		},
		Incompatible: {
			shut: target(compat.Version{Major: 1}, 0), open: target(compat.Version{Minor: 2, Patch: 1}, 0), why: "nothing is heard: the candidate tells",
			edges: map[string]edge{
				"the last version that fits": {target(compat.Version{Minor: 2, Patch: 255}, 1), false}, "the first that does not": {target(compat.Version{Minor: 3}, 1), true},
				"another protocol": {target(compat.Version{Minor: 2, Patch: 1}, 2), true}, "no candidate": {target(compat.Version{}, 2), false},
				"a companion that is not known": {both(target(compat.Version{Minor: 2, Patch: 1}, 0), func(s *scene) { s.p.Companion = compat.Version{} }), true},
			},
		},
		Inhibited: {
			shut: lease(time.Minute), open: released, why: "nothing is heard: applications say it to the agent",
			edges: map[string]edge{
				"at its end": {lease(0), false}, "just before its end": {lease(1), true}, "over": {lease(-1), false},
				"after the clock was set back": {func(s *scene) { lease(time.Minute)(s); s.held[0].Since = s.now.Add(time.Hour) }, true},
			},
		},
	}
}

func join(maps ...map[string]edge) map[string]edge {
	out := map[string]edge{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestEachGate(t *testing.T) {
	if got := at(noon).codes(); got != nil {
		t.Fatalf("a robot that is ready is not: %v", got)
	}
	for code, g := range gatesTable() {
		t.Run(string(code), func(t *testing.T) {
			only := func(what string, change do, want Code) {
				t.Helper()
				s := at(noon)
				change(s)
				got := s.check()
				if want == "" && got != nil || want != "" && !slices.Equal(codes(got), []Code{want}) {
					t.Errorf("%s: got %v, want %q", what, codes(got), want)
				}
				for _, r := range got {
					if r.Text == "" || r.Lift == "" || r.Since.IsZero() {
						t.Errorf("%s: incomplete: %+v", what, r)
					}
				}
			}
			only("shut", g.shut, code)
			only("shut and opened", both(g.shut, g.open), "")
			if (g.why == "") != (g.stale != nil && g.never != nil) {
				t.Fatal("a row shows what is stale and never heard, or says why it cannot be")
			}
			if g.why == "" {
				only("stale", g.stale, g.staleCode)
				only("never heard", g.never, g.neverCode)
			}
			if len(g.edges) < 2 {
				t.Fatal("a row shows its threshold from both sides")
			}
			for name, e := range g.edges {
				want := Code("")
				if e.shut {
					want = code
				}
				only(name, e.do, want)
			}
			flaps(t, code, g)
		})
	}
}

// flaps shuts and opens a gate faster than it may settle: it counts as shut all
// the time, since the first time, and opens when it has been open for long
// enough.
func flaps(t *testing.T, code Code, g gate) {
	t.Helper()
	var v Vigil
	settle := DefaultPolicy().Settle
	base := noon
	look := func(after time.Duration, change do) ([]Reason, bool) {
		s := at(base)
		change(s)
		reasons := s.check() // the moment of the scene is the window's; that of the vigil goes on
		var shut []Reason
		var open bool
		v, shut, open = v.Look(reasons, noon.Add(after), settle, noon.Add(after))
		return shut, open
	}
	step := settle - time.Millisecond
	for i := range 50 {
		change := g.shut
		if i%2 == 1 {
			change = both(g.shut, g.open)
		}
		shut, open := look(time.Duration(i)*step, change)
		if open || !slices.Equal(codes(shut), []Code{code}) {
			t.Fatalf("look %d: open %v, shut %v", i, open, codes(shut))
		}
		if shut[0].Since.After(noon.Add(time.Hour)) {
			t.Errorf("look %d: since %s", i, shut[0].Since)
		}
	}
	opened := 49 * step // at the last look
	if shut, open := look(opened+settle-1, both(g.shut, g.open)); open || len(shut) != 1 {
		t.Errorf("open for less than the settling time: %v, %v", open, codes(shut))
	}
	if shut, open := look(opened+settle, both(g.shut, g.open)); !open || len(shut) != 0 {
		t.Errorf("open for the settling time: %v, %v", open, codes(shut))
	}
}

// TestEveryGateHasItsRow walks the package's constants: a gate that nobody
// tests is found here.
func TestEveryGateHasItsRow(t *testing.T) {
	declared := declaredCodes(t)
	if len(declared) < 20 {
		t.Fatalf("found %d codes only: %v", len(declared), declared)
	}
	table := gatesTable()
	for _, c := range declared {
		if _, ok := table[c]; !ok {
			t.Errorf("%s has no row in gatesTable", c)
		}
		if !slices.Contains(Codes(), c) {
			t.Errorf("%s is not among Codes()", c)
		}
	}
	if len(table) != len(declared) || len(Codes()) != len(declared) {
		t.Errorf("%d codes, %d rows, Codes() has %d", len(declared), len(table), len(Codes()))
	}
}

// declaredCodes are the constants of type Code in the package's source.
func declaredCodes(t *testing.T) []Code {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var out []Code
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, Code(s))
				}
			}
			return true
		})
	}
	return out
}

// TestOperatorsKnowEveryGate: the handbook's table has each code.
func TestOperatorsKnowEveryGate(t *testing.T) {
	book, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Codes() {
		if !strings.Contains(string(book), fmt.Sprintf("| `%s` |", c)) {
			t.Errorf("docs/operations.md has no row for %s", c)
		}
	}
}
