package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// TestGateFaultsAreNamed: as TestFaultsAreNamed, for the gates. The snippet
// begins in line 2.
func TestGateFaultsAreNamed(t *testing.T) {
	one := func(window string) string { return "gates:\n  maintenance:\n    - " + window + "\n" }
	for name, tt := range map[string]struct{ snippet, want string }{
		"settle":                {"gates: {settle: 2m}\n", `gates.settle: 2m is out of range: want 0s to 1m`},
		"rssi above 0":          {"gates: {min_rssi: 70}\n", `agent.yaml:2:19: gates.min_rssi: 70 is out of range: want -127 to -1 (dBm, so below 0), or 0 for any`},
		"rssi in words":         {"gates: {min_rssi: -70 dBm}\n", `gates.min_rssi: want a whole number without quotes, got the text "-70 dBm"`},
		"no thermal word":       {"gates: {thermal_ok: [ok, \" \"]}\n", `gates.thermal_ok: " " is no word for a thermal state`},
		"dock's age":            {"gates: {dock_fresh: 48h}\n", `gates.dock_fresh: 48h is out of range: want 500ms to 24h`},
		"dock's topic":          {"ros: {topics: {dock: \"do ck\"}}\n", `ros.topics.dock: "do ck" is no name of a topic`},
		"system status":         {"ros: {system_status: \"\"}\n", `ros.system_status: want the name of the status`},
		"rssi's name":           {"ros: {keys: {wifi_rssi: \"\"}}\n", `ros.keys.wifi_rssi: want the name of the value`},
		"no list":               {"gates: {maintenance: nightly}\n", `agent.yaml:2:22: gates.maintenance: want a list of sections, each begun by a dash, got the text "nightly"`},
		"a section":             {"gates:\n  maintenance:\n    start: 0 2 * * *\n", `gates.maintenance: want a list of sections, each begun by a dash, got a section`},
		"no value":              {"gates:\n  maintenance:\n", `agent.yaml:3:3: gates.maintenance: has no value`},
		"an empty entry":        {"gates:\n  maintenance:\n    -\n", `gates.maintenance[1]: is empty: want keys with values under it`},
		"a text for an entry":   {one("0 2 * * *"), `gates.maintenance[1] is a section: want keys with values under it, got the text "0 2 * * *"`},
		"too many":              {"gates:\n  maintenance:\n" + strings.Repeat("    - {start: 0 2 * * *, for: 1h}\n", 33), `gates.maintenance: has 33 entries, and may have 32`},
		"misspelt":              {one("{star: 0 2 * * *, for: 1h}"), `agent.yaml:4:8: unknown key "star"; did you mean "start"?`},
		"unknown":               {one("{days: 3, start: 0 2 * * *, for: 1h}"), `unknown key "days"; in gates.maintenance[1] there are start, for, zone`},
		"no start":              {one("{for: 1h}"), `agent.yaml:4:7: gates.maintenance[1].start: is missing: for instance "0 2 * * *"`},
		"no length":             {one("{start: 0 2 * * *}"), `gates.maintenance[1].for: is missing: for instance 3h`},
		"the second":            {one("{start: 0 2 * * *, for: 1h}\n    - {start: 0 2 * * *, for: 1s}"), `agent.yaml:5:31: gates.maintenance[2].for: 1s is out of range: want 1m to 168h`},
		"length":                {one("{start: 0 2 * * *, for: 200h}"), `gates.maintenance[1].for: 200h is out of range: want 1m to 168h`},
		"length without unit":   {one("{start: 0 2 * * *, for: 3}"), `gates.maintenance[1].for: 3 has no unit: want a duration with its unit`},
		"zone":                  {one("{start: 0 2 * * *, for: 1h, zone: Europe/Berln}"), `gates.maintenance[1].zone: "Europe/Berln": there is no such time zone: want one such as Europe/Berlin or UTC, or Local for this computer's`},
		"an abbreviated zone":   {one("{start: 0 2 * * *, for: 1h, zone: CEST}"), `"CEST": there is no such time zone`},
		"a zone that is a path": {one("{start: 0 2 * * *, for: 1h, zone: ../../etc/passwd}"), `there is no such time zone`},
		"four fields":           {one("{start: 2 * * *, for: 1h}"), `gates.maintenance[1].start: "2 * * *": want five fields, minute hour day-of-month month day-of-week, such as "0 2 * * 1-5"`},
		"six fields":            {one("{start: 0 0 2 * * *, for: 1h}"), `want five fields`},
		"a descriptor":          {one("{start: \"@daily\", for: 1h}"), `want five fields`},
		"a time of day":         {one("{start: \"02:00\", for: 1h}"), `want five fields`},
		"an hour there is not":  {one("{start: 0 24 * * *, for: 1h}"), `gates.maintenance[1].start: "0 24 * * *": end of range (24) above maximum (23)`},
		"a day there is not":    {one("{start: 0 2 * * MOO, for: 1h}"), `gates.maintenance[1].start: "0 2 * * MOO"`},
		"a zone in it":          {one("{start: TZ=UTC 2 * * *, for: 1h}"), `gates.maintenance[1].start: "TZ=UTC 2 * * *": a time zone goes into the key zone`},
		"a date that never is":  {one("{start: 0 2 30 2 *, for: 1h}"), `gates.maintenance[1].start: "0 2 30 2 *": such a day never comes`},
		"two kinds of day":      {one("{start: 0 2 1 * 1, for: 1h}"), `both a day of the month and a day of the week: some programs take days that are both`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("agent.yaml", []byte(least+tt.snippet))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
	mains := "robot: {id: r, sku: basic, companion_version: 0.2.0, mains_powered: true}\ngates: {need_dock: true}\n"
	if _, err := Parse("agent.yaml", []byte(mains)); err == nil || !strings.Contains(err.Error(), "gates.need_dock: a robot on mains has no battery") {
		t.Errorf("a dock on mains: %v", err)
	}
	if _, err := Parse("agent.yaml", []byte(mains+"ros: {topics: {dock: docked}}\n")); err != nil {
		t.Errorf("a dock on mains, with its topic: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	c, err := Parse("agent.yaml", []byte(least))
	if err != nil {
		t.Fatal(err)
	}
	want := preflight.DefaultPolicy()
	want.Companion = compat.Version{Minor: 2}
	if got := c.Policy(); !reflect.DeepEqual(got, want) {
		t.Errorf("the defaults:\ngot  %+v\nwant %+v", got, want)
	}
	c, err = Parse("agent.yaml", []byte(`
robot: {id: r, sku: basic, companion_version: 1.0.0, mains_powered: true}
ros: {topics: {dock: /dock}}
gates:
  min_battery: 0.3
  fresh: 3s
  settle: 0
  max_linear: 0.1
  max_angular: 0.2
  need_odometry: true
  min_rssi: 0
  thermal_ok: []
  need_dock: true
  dock_fresh: 12h
  maintenance:
    - {start: "0 2 * * 1-5", for: 3h, zone: Europe/Berlin}
    - start: "30  22 * * SAT"
      for: 90m
`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Policy()
	if got.MinBattery != 0.3 || !got.Mains || got.Fresh != 3*time.Second || got.Settle != 0 || got.MaxLinear != 0.1 || got.MaxAngular != 0.2 ||
		!got.NeedOdometry || got.MinRSSI != 0 || len(got.ThermalOK) != 0 || !got.NeedDock || !got.DockTopic || got.DockFresh != 12*time.Hour ||
		got.Companion != (compat.Version{Major: 1}) || len(got.Table) == 0 {
		t.Errorf("%+v", got)
	}
	var specs []string
	for _, w := range got.Maintenance {
		specs = append(specs, w.Spec)
	}
	if want := []string{"0 2 * * 1-5 for 3h, Europe/Berlin", "30 22 * * SAT for 1h30m, UTC"}; !reflect.DeepEqual(specs, want) {
		t.Errorf("windows %q", specs)
	}
}

// A window that cannot be read never opens, rather than being left out: without
// any, every moment would do.
func TestABadWindowNeverOpens(t *testing.T) {
	for _, w := range []Window{{Start: "x", For: Duration(time.Hour)}, {Start: "* * * * *", For: Duration(time.Hour), Zone: "Nowhere"}} {
		c := Config{Gates: Gates{Maintenance: []Window{w}}}
		if p := c.Policy(); len(p.Maintenance) != 1 || p.Maintenance[0].Open(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v: %+v", w, p.Maintenance)
		}
	}
}

// Real cron expressions in real zones, as an operator would check them with a
// calendar.
func TestWindowsOpen(t *testing.T) {
	for _, tt := range []struct {
		start string
		long  time.Duration
		zone  string
		now   string // UTC
		open  bool
		next  string
	}{
		{"0 2 * * 1-5", 3 * time.Hour, "Europe/Berlin", "2026-03-02T00:59:59Z", false, "2026-03-02T02:00:00+01:00"}, // Monday, 01:59:59
		{"0 2 * * 1-5", 3 * time.Hour, "Europe/Berlin", "2026-03-02T01:00:00Z", true, "2026-03-03T02:00:00+01:00"},
		{"0 2 * * 1-5", 3 * time.Hour, "Europe/Berlin", "2026-03-02T03:59:59Z", true, "2026-03-03T02:00:00+01:00"},
		{"0 2 * * 1-5", 3 * time.Hour, "Europe/Berlin", "2026-03-02T04:00:00Z", false, "2026-03-03T02:00:00+01:00"},
		{"0 2 * * 1-5", 3 * time.Hour, "Europe/Berlin", "2026-03-06T04:00:00Z", false, "2026-03-09T02:00:00+01:00"}, // over the weekend
		{"0 2 * * *", 3 * time.Hour, "Europe/Berlin", "2026-03-29T01:00:00Z", true, "2026-03-30T02:00:00+02:00"},    // 02:00 is skipped, 03:00 it is
		{"0 2 * * *", 3 * time.Hour, "Europe/Berlin", "2026-03-29T00:59:59Z", false, "2026-03-29T03:00:00+02:00"},
		{"0 2 * * *", 3 * time.Hour, "Europe/Berlin", "2026-03-29T03:00:00Z", false, "2026-03-30T02:00:00+02:00"},    // 05:00
		{"0 2 * * *", 3 * time.Hour, "Europe/Berlin", "2026-10-25T03:59:59Z", true, "2026-10-26T02:00:00+01:00"},     // 04:59:59, the second time 02:00 was at 01:00 UTC
		{"0 22 * * 5", 8 * time.Hour, "America/New_York", "2026-03-07T10:59:59Z", true, "2026-03-13T22:00:00-04:00"}, // over midnight, into Saturday
		{"0 22 * * 5", 8 * time.Hour, "America/New_York", "2026-03-07T11:00:00Z", false, "2026-03-13T22:00:00-04:00"},
		{"0 0 * * 0,6", 24 * time.Hour, "UTC", "2026-03-08T23:59:59Z", true, "2026-03-14T00:00:00Z"}, // the whole weekend, two windows that touch
		{"0 0 * * 0,6", 24 * time.Hour, "UTC", "2026-03-07T23:59:59Z", true, "2026-03-08T00:00:00Z"},
		{"0 0 * * 7", 24 * time.Hour, "", "2026-03-08T12:00:00Z", true, "2026-03-15T00:00:00Z"}, // Sunday as 7
		{"*/10 * * * *", 5 * time.Minute, "", "2026-03-08T12:14:59Z", true, "2026-03-08T12:20:00Z"},
		{"*/10 * * * *", 5 * time.Minute, "", "2026-03-08T12:15:00Z", false, "2026-03-08T12:20:00Z"},
		{"0 8 * * MON#1", time.Hour, "", "2026-03-02T08:30:00Z", true, "2026-04-06T08:00:00Z"}, // the first Monday
		{"0 8 * * MON#1", time.Hour, "", "2026-03-09T08:30:00Z", false, "2026-04-06T08:00:00Z"},
		{"0 8 L * *", time.Hour, "", "2026-02-28T08:30:00Z", true, "2026-03-31T08:00:00Z"},
		{"0 2 29 2 *", time.Hour, "", "2026-03-01T00:00:00Z", false, "2028-02-29T02:00:00Z"},
		{"0 2 29 2 *", time.Hour, "", "2096-03-01T00:00:00Z", false, "2104-02-29T02:00:00Z"}, // 2100 is no leap year
		{"0 22-2 * * *", 30 * time.Minute, "", "2026-03-08T01:10:00Z", true, "2026-03-08T02:00:00Z"},
		{"0 0 * * 1", 168 * time.Hour, "", "2026-03-08T23:59:59Z", true, "2026-03-09T00:00:00Z"},
	} {
		w := Window{Start: tt.start, For: Duration(tt.long), Zone: tt.zone}.window()
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Open(now); got != tt.open {
			t.Errorf("%s at %s: open %v, want %v", w.Spec, tt.now, got, tt.open)
		}
		if got := w.Next(now).Format(time.RFC3339); got != tt.next {
			t.Errorf("%s at %s: next %s, want %s", w.Spec, tt.now, got, tt.next)
		}
	}
}

// FuzzCron: what is accepted as a start never makes the gates fail, hang or
// contradict themselves.
func FuzzCron(f *testing.F) {
	for _, s := range []string{"0 2 * * 1-5", "*/7 22-2/2 * * MON#1", "0 0 L * *", "0 0 29 2 *", "TZ=0", "TZ=UTC * * * *", "@every 1s", "1-0 * * * *", "0 0 ? * SUN#L", "H H * * *", "60 * * * *", "* * * * 8", "0 0 31 2,4,6 ?", "\t*  * * *\n*"} {
		f.Add(s, int64(1772366400), int64(3600))
	}
	f.Fuzz(func(t *testing.T, start string, at, long int64) {
		w := Window{Start: start, For: Duration(time.Duration(1+abs(long)%(7*24*3600)) * time.Second), Zone: "Europe/Berlin"}
		if _, err := parseCron(start); err != nil {
			if w.window().Open(time.Unix(at, 0)) {
				t.Fatalf("%q is refused (%v) and opens", start, err)
			}
			return
		}
		now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(abs(at)%(20*365*24*3600)) * time.Second)
		win := w.window()
		win.Open(now)
		if next := win.Next(now); !next.IsZero() && (!next.After(now) || !win.Open(next)) {
			t.Fatalf("%q for %s at %s: next %s, then open %v", start, w.For, now, next, win.Open(next))
		}
	})
}

func abs(n int64) int64 {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
