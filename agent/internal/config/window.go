package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a robot's system may have no zones

	"github.com/netresearch/go-cron"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
)

// Window is a maintenance window: an update may begin from each start on, for
// so long, by the clock on the wall of the zone.
type Window struct {
	Start string   `yaml:"start"` // cron expression of five fields
	For   Duration `yaml:"for"`   // 1 min - 7 days
	Zone  string   `yaml:"zone"`  // IANA name; Local: this computer's; "": UTC
}

// maxCron bounds a cron expression, in bytes.
const maxCron = 200

// spec is the window as its operator would say it.
func (w Window) spec() string {
	zone := w.Zone
	if zone == "" {
		zone = "UTC"
	}
	return fmt.Sprintf("%s for %s, %s", strings.Join(strings.Fields(w.Start), " "), w.For, zone)
}

// window is w as the gates take it. One with a fault, which Parse refuses, never
// opens.
func (w Window) window() preflight.Window {
	out := preflight.Window{Spec: w.spec(), For: w.For.Std(), Zone: time.UTC}
	starts, err := parseCron(w.Start)
	zone, zerr := parseZone(w.Zone)
	if err == nil && zerr == nil {
		out.Starts, out.Zone = starts, zone
	}
	return out
}

func (v validator) window(key string, w Window) {
	for _, part := range []struct {
		name, example string
		missing       bool
	}{{"start", `"0 2 * * *"`, w.Start == ""}, {"for", "3h", w.For == 0}} {
		if k := key + "." + part.name; part.missing {
			if _, said := v.at[k]; !said {
				v.at[k] = v.at[key]
			}
			v.wrong(k, "is missing: for instance %s", part.example)
		}
	}
	if _, err := parseCron(w.Start); err != nil {
		v.wrong(key+".start", "%q: %v", clip(w.Start), err)
	}
	between(v, key+".for", w.For, Duration(time.Minute), 7*day, "")
	if _, err := parseZone(w.Zone); err != nil {
		v.wrong(key+".zone", "%q: %v", clip(w.Zone), err)
	}
}

// parseZone finds an IANA time zone; "" is UTC, the same on every robot
// whatever its system is set to.
func parseZone(name string) (*time.Location, error) {
	if len(name) > 64 {
		return nil, errors.New("want the name of a time zone, such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New("there is no such time zone: want one such as Europe/Berlin or UTC, or Local for this computer's")
	}
	return zone, nil
}

// errCron says what a start must look like.
var errCron = errors.New(`want five fields, minute hour day-of-month month day-of-week, such as "0 2 * * 1-5" for 02:00 from Monday to Friday`)

// parseCron reads the starts of a window. The library's own time zones,
// descriptors (@daily) and seconds stay out: there is one way to write each.
// What two crons read in two ways is refused.
func parseCron(text string) (preflight.Starts, error) {
	fields := strings.Fields(text)
	if len(text) > maxCron || len(fields) != 5 {
		return nil, errCron
	}
	if strings.Contains(fields[0], "=") {
		return nil, errors.New("a time zone goes into the key zone")
	}
	if restricted(fields[2]) && restricted(fields[4]) {
		return nil, errors.New("both a day of the month and a day of the week: some programs take days that are both, others days that are either. " +
			"Write two windows for either; for the first Monday of the month, * * in the date and MON#1 as the day of the week")
	}
	parser, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DomL | cron.DowNth | cron.DowLast)
	if err != nil {
		return nil, err
	}
	schedule, err := parser.WithMaxSearchYears(maxSearch).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, errCron)
	}
	spec, ok := schedule.(*cron.SpecSchedule)
	if !ok {
		return nil, errCron
	}
	spec.Location = time.UTC // as the gates ask: the zone is theirs
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("such a day never comes")
	}
	return spec, nil
}

// maxSearch is how many years a start is looked for: from one 29 February to
// the next it may be eight.
const maxSearch = 9

func restricted(field string) bool { return field != "*" && field != "?" }
