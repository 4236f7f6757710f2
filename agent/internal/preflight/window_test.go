package preflight

import (
	"slices"
	"testing"
	"time"

	_ "time/tzdata" // zones, whatever this machine has
)

// every are starts at each whole multiple of a time since a Monday, as cron
// would have them.
type every time.Duration

func (e every) Next(t time.Time) time.Time {
	monday := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	return monday.Add(t.Sub(monday).Truncate(time.Duration(e)) + time.Duration(e))
}

// daily starts once a day.
type daily time.Duration

func (d daily) Next(t time.Time) time.Time {
	start := t.Truncate(24 * time.Hour).Add(time.Duration(d))
	if !start.After(t) {
		start = start.Add(24 * time.Hour)
	}
	return start
}

func hourly(d time.Duration) Window {
	return Window{Spec: "hourly", Starts: every(time.Hour), For: d, Zone: time.UTC}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// spans lists when the window is open between two moments, to the minute, in UTC.
func spans(w Window, from, to time.Time) (out []string) {
	const clock = "15:04"
	var began time.Time
	for now := from; !now.After(to); now = now.Add(time.Minute) {
		switch open := w.Open(now); {
		case open && began.IsZero():
			began = now
		case !open && !began.IsZero():
			out = append(out, began.UTC().Format(clock)+"-"+now.UTC().Format(clock))
			began = time.Time{}
		}
	}
	return out
}

func TestWindowsByTheClockOnTheWall(t *testing.T) {
	const at2 = daily(2 * time.Hour)
	for name, tt := range map[string]struct {
		zone   string
		starts Starts
		length time.Duration
		day    time.Time // in UTC
		want   []string  // in UTC
	}{
		"winter":            {"Europe/Berlin", at2, 3 * time.Hour, day(2026, 1, 15), []string{"01:00-04:00"}},
		"summer":            {"Europe/Berlin", at2, 3 * time.Hour, day(2026, 7, 15), []string{"00:00-03:00"}},
		"an hour skipped":   {"Europe/Berlin", at2, 3 * time.Hour, day(2026, 3, 29), []string{"01:00-03:00"}}, // 03:00 to 05:00 on the wall
		"an hour twice":     {"Europe/Berlin", at2, 3 * time.Hour, day(2026, 10, 25), []string{"00:00-04:00"}},
		"a start skipped":   {"Europe/Berlin", daily(2*time.Hour + 30*time.Minute), time.Hour, day(2026, 3, 29), []string{"01:00-01:30"}},
		"all of it skipped": {"Europe/Berlin", daily(2*time.Hour + 10*time.Minute), 20 * time.Minute, day(2026, 3, 29), nil},
		"a start twice":     {"Europe/Berlin", daily(2*time.Hour + 30*time.Minute), 15 * time.Minute, day(2026, 10, 25), []string{"00:30-00:45", "01:30-01:45"}},
		"no such changes":   {"Asia/Kolkata", at2, time.Hour, day(2026, 3, 29), []string{"20:30-21:30"}},
		"half an hour":      {"Australia/Lord_Howe", at2, time.Hour, day(2026, 10, 3), []string{"15:30-16:00"}}, // 02:00 becomes 02:30
		"over midnight":     {"UTC", daily(23 * time.Hour), 3 * time.Hour, day(2026, 1, 15), []string{"00:00-02:00"}},
		"overlapping":       {"UTC", every(time.Hour), 90 * time.Minute, day(2026, 1, 15), nil}, // never shut: no span ends
	} {
		t.Run(name, func(t *testing.T) {
			w := Window{Spec: "w", Starts: tt.starts, For: tt.length, Zone: zone(t, tt.zone)}
			got := spans(w, tt.day, tt.day.Add(24*time.Hour))
			if !slices.Equal(got, tt.want) {
				t.Errorf("open %v, want %v", got, tt.want)
			}
		})
	}
	w := Window{Starts: every(time.Hour), For: 90 * time.Minute, Zone: time.UTC}
	if !w.Open(noon) || !w.Open(noon.Add(59*time.Minute)) {
		t.Error("starts that come before the window ends keep it open")
	}
	cairo := Window{Starts: daily(0), For: 2 * time.Hour, Zone: zone(t, "Africa/Cairo")}
	if night := spans(cairo, day(2026, 4, 23).Add(12*time.Hour), day(2026, 4, 24).Add(3*time.Hour)); !slices.Equal(night, []string{"22:00-23:00"}) {
		t.Errorf("a midnight that does not exist: open %v, want from 01:00 to 02:00 on the wall", night)
	}
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

func TestWhenAWindowOpensNext(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	at2 := func(w string) Window {
		return Window{Starts: daily(2 * time.Hour), For: 3 * time.Hour, Zone: zone(t, w)}
	}
	half3 := Window{Starts: daily(2*time.Hour + 30*time.Minute), For: time.Hour, Zone: berlin}
	for name, tt := range map[string]struct {
		w    Window
		now  time.Time
		want string
	}{
		"tonight":           {at2("Europe/Berlin"), day(2026, 1, 15), "2026-01-15T02:00:00+01:00"},
		"tomorrow":          {at2("Europe/Berlin"), day(2026, 1, 15).Add(time.Hour), "2026-01-16T02:00:00+01:00"},
		"an hour skipped":   {at2("Europe/Berlin"), day(2026, 3, 29), "2026-03-29T03:00:00+02:00"},
		"a start skipped":   {half3, day(2026, 3, 29), "2026-03-29T03:00:00+02:00"},
		"an hour twice":     {at2("Europe/Berlin"), day(2026, 10, 24).Add(12 * time.Hour), "2026-10-25T02:00:00+02:00"},
		"a start twice":     {half3, day(2026, 10, 24).Add(12 * time.Hour), "2026-10-25T02:30:00+02:00"},
		"midnight skipped":  {Window{Starts: daily(0), For: 2 * time.Hour, Zone: zone(t, "Africa/Cairo")}, day(2026, 4, 23).Add(12 * time.Hour), "2026-04-24T01:00:00+03:00"},
		"all of it skipped": {Window{Starts: daily(0), For: time.Hour, Zone: zone(t, "Africa/Cairo")}, day(2026, 4, 23).Add(12 * time.Hour), "2026-04-25T00:00:00+03:00"},
		"between the two":   {half3, day(2026, 10, 25).Add(70 * time.Minute), "2026-10-25T02:30:00+01:00"},
		"west of Greenwich": {at2("America/New_York"), day(2026, 11, 1), "2026-11-01T02:00:00-05:00"},
	} {
		next := tt.w.Next(tt.now)
		if got := next.Format(time.RFC3339); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if !tt.w.Open(next) || tt.w.Open(next.Add(-time.Second)) {
			t.Errorf("%s: it does not open at %s", name, next)
		}
	}
	if never := (Window{For: time.Hour, Zone: berlin}); never.Open(noon) || !never.Next(noon).IsZero() {
		t.Error("a window without starts opens")
	}
}

// The first of several windows to open is the one that is told of, and one that
// is open is enough.
func TestSeveralWindows(t *testing.T) {
	s := at(noon)
	s.p.Maintenance = []Window{
		{Spec: "late", Starts: daily(20 * time.Hour), For: time.Hour, Zone: time.UTC},
		{Spec: "soon", Starts: daily(15 * time.Hour), For: time.Hour, Zone: time.UTC},
		{Spec: "never", For: time.Hour, Zone: time.UTC},
	}
	got := s.check()
	if len(got) != 1 || got[0].Text != "this is outside of the maintenance windows (late; soon; never)" ||
		got[0].Lift != "the next maintenance window, from 2026-03-01T15:00:00Z on, or an update that may begin at any time" {
		t.Errorf("%+v", got)
	}
	s.p.Maintenance = append(s.p.Maintenance, hourly(time.Minute))
	if got := s.check(); got != nil {
		t.Errorf("one is open: %+v", got)
	}
}

// Three years in zones with odd rules: the moment of the next window lies ahead,
// and the window is open then.
func TestNextIsWhenItOpens(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Africa/Casablanca", "Pacific/Apia", "UTC"} {
		z := zone(t, name)
		for _, w := range []Window{{Starts: daily(2 * time.Hour), For: time.Hour, Zone: z}, {Starts: daily(23*time.Hour + 30*time.Minute), For: 45 * time.Minute, Zone: z}} {
			for now := day(2026, 1, 1); now.Year() < 2029; now = now.Add(173 * time.Minute) {
				next := w.Next(now)
				if !next.After(now) || !w.Open(next) || next.Sub(now) > 49*time.Hour {
					t.Fatalf("%s: at %s it opens next at %s", name, now, next)
				}
			}
		}
	}
}
