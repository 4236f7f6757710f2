package doctor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// diary is a Watcher that notes what it is told, and when.
type diary struct {
	began time.Time
	lines []string
}

func (d *diary) Waiting(names []string) { d.note("waiting " + strings.Join(names, " ")) }
func (d *diary) Found(f doctor.Finding) {
	d.note(fmt.Sprintf("%s %s: %s", f.Check, f.Level, f.Text))
}

func (d *diary) note(s string) {
	d.lines = append(d.lines, fmt.Sprintf("%s %s", time.Since(d.began).Round(time.Millisecond), s))
}

// takes is a check that needs so long, watches its context, and finds f.
func takes(name string, d time.Duration, f doctor.Finding) doctor.Check {
	return doctor.Check{Name: name, Within: 3 * time.Second, Run: func(ctx context.Context) []doctor.Finding {
		select {
		case <-time.After(d):
			return []doctor.Finding{f}
		case <-ctx.Done():
			return []doctor.Finding{doctor.Bad("wait less", "waited in vain")}
		}
	}}
}

func examine(t *testing.T, ctx context.Context, checks ...doctor.Check) (doctor.Report, []string) { //nolint:revive // the test comes first
	t.Helper()
	d := &diary{began: time.Now()}
	r := doctor.Run(ctx, checks, d)
	return r, d.lines
}

func TestChecksRunBesideEachOtherAndAreToldInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alone := takes("reset", time.Second, doctor.Good("back"))
		alone.Alone = true
		r, lines := examine(t, t.Context(),
			takes("slow", 2*time.Second, doctor.Good("well")),
			alone,
			takes("quick", 0, doctor.Doubt("polish it", "dull")),
			takes("late", time.Hour, doctor.Good("never")))
		want := []string{
			"0s waiting slow reset quick late",
			"0s waiting slow reset late",
			"2s slow ok: well",
			"2s waiting reset late",
			"3s waiting reset",
			"3s waiting reset",
			"4s reset ok: back",
			"4s quick warn: dull",
			"4s late fail: waited in vain",
			"4s waiting ",
			"4s waiting ",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		if r.Level != doctor.Fail || r.OK != 2 || r.Warn != 1 || r.Fail != 1 || r.Summary() != "1 failure, 1 warning, 2 ok" {
			t.Errorf("%+v: %s", r, r.Summary())
		}
	})
}

// A check that heeds no context, breaks, or says nothing, hurts no other.
func TestChecksThatMisbehave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		r, _ := examine(t, t.Context(),
			doctor.Check{Name: "deaf", Within: time.Second, Run: func(context.Context) []doctor.Finding { <-end; return nil }},
			doctor.Check{Name: "broken", Run: func(context.Context) []doctor.Finding { panic("no such thing") }},
			doctor.Check{Name: "mute", Run: func(context.Context) []doctor.Finding { return nil }},
			takes("good", 0, doctor.Good("well")))
		want := []doctor.Finding{
			{Check: "deaf", Level: doctor.Fail, Text: "no result within 1s", Do: "try again by `ota-agent doctor --only deaf`, and look at what it waits for"},
			{Check: "broken", Level: doctor.Fail, Text: "the check itself broke: no such thing", Do: "report this as a fault of ota-agent"},
			{Check: "mute", Level: doctor.Skipped, Text: "nothing to say"},
			{Check: "good", Level: doctor.OK, Text: "well"},
		}
		if !slices.Equal(r.Findings, want) {
			t.Errorf("got %+v", r.Findings)
		}
	})
}

func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		begun := false
		alone := doctor.Check{Name: "reset", Alone: true, Run: func(context.Context) []doctor.Finding { begun = true; return nil }}
		r, _ := examine(t, ctx, takes("done", 0, doctor.Good("well")), takes("slow", 2*time.Second, doctor.Good("never")), alone)
		if took := time.Since(began); took > 2*time.Second || begun {
			t.Errorf("took %s, begun %v", took, begun)
		}
		if r.OK != 1 || r.Skipped != 2 || r.Findings[1].Text != "interrupted" {
			t.Errorf("%+v", r)
		}
	})
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		findings []doctor.Finding
		level    doctor.Level
		summary  string
	}{
		{nil, doctor.Skipped, "nothing was looked at"},
		{[]doctor.Finding{doctor.Skip("none")}, doctor.Skipped, "1 skipped"},
		{[]doctor.Finding{doctor.Skip("none"), doctor.Good("a")}, doctor.OK, "1 ok, 1 skipped"},
		{[]doctor.Finding{doctor.Good("a"), doctor.Doubt("b", "c"), doctor.Doubt("b", "c")}, doctor.Warn, "2 warnings, 1 ok"},
		{[]doctor.Finding{doctor.Bad("b", "c"), doctor.Doubt("b", "c"), doctor.Bad("b", "c")}, doctor.Fail, "2 failures, 1 warning"},
	} {
		r := doctor.Run(t.Context(), []doctor.Check{{Name: "x", Run: func(context.Context) []doctor.Finding { return tt.findings }}}[:min(1, len(tt.findings))], &diary{})
		if r.Level != tt.level || r.Summary() != tt.summary {
			t.Errorf("%+v: %s, %s", tt.findings, r.Level, r.Summary())
		}
	}
	r := doctor.Run(t.Context(), nil, &diary{})
	if raw, err := json.Marshal(r); err != nil || string(raw) != `{"level":"skipped","ok":0,"warn":0,"fail":0,"skipped":0,"findings":[]}` {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestSelect(t *testing.T) {
	all := []doctor.Check{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	if got, err := doctor.Select(all, []string{"c", "a", "c"}); err != nil || !slices.Equal(doctor.Names(got), []string{"a", "c"}) {
		t.Errorf("%v, %v", doctor.Names(got), err)
	}
	if got, err := doctor.Select(all, nil); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := doctor.Select(all, []string{"a", "x"}); err == nil || err.Error() != `there is no check "x": want some of a, b, c` {
		t.Error(err)
	}
	if len(all) != 3 || all[2].Name != "c" {
		t.Error("the list was changed")
	}
}
