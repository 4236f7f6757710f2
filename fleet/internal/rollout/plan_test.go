package rollout

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func version(t testing.TB, s string) compat.Version {
	t.Helper()
	v, err := compat.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// plan is the mission's, for a release of the SKU basic.
func plan(t testing.TB) Plan {
	t.Helper()
	p := Default()
	p.Release, p.SKU, p.Version, p.Protocol = "basic-0.2.1", "basic", version(t, "0.2.1"), 1
	p.Internal, p.Seed = []string{"lab-1", "lab-2"}, 0xfeedfacecafebeef
	return p
}

func TestPlanJSON(t *testing.T) {
	want := plan(t)
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePlan(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\ngot %+v, %v\nwant %+v", b, got, err, want)
	}
	if !strings.Contains(string(b), `"watch":"48h0m0s"`) || !strings.Contains(string(b), `"seed":"feedfacecafebeef"`) {
		t.Errorf("%s", b)
	}
}

// The defaults are the mission's table.
func TestDefaultIsTheMissions(t *testing.T) {
	s := Default().Steps
	for _, row := range []struct {
		stage Stage
		share float64
		watch time.Duration
	}{{Internal, 0, 24 * time.Hour}, {Canary, 0.1, 48 * time.Hour}, {Wide, 0.5, 24 * time.Hour}, {Full, 1, 24 * time.Hour}} {
		if got := s.Of(row.stage); got.Share != row.share || got.Watch != row.watch {
			t.Errorf("%s: %+v", row.stage, got)
		}
	}
}

func TestOverlay(t *testing.T) {
	base := plan(t)
	got, err := Overlay(base, []byte(`{"schema":1,"internal":["x"],"stages":{"canary":{"share":0.3}},"limits":{"detect":0.25}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := plan(t)
	want.Internal, want.Steps.Canary.Share, want.Detect = []string{"x"}, 0.3, 0.25
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(base, plan(t)) {
		t.Errorf("got %+v", got)
	}
	if got, err := Overlay(base, []byte(`{}`)); err != nil || !reflect.DeepEqual(got, base) {
		t.Errorf("nothing changed: %+v, %v", got, err)
	}
	for _, test := range []struct{ json, want string }{
		{`[]`, "no JSON object"},
		{`{"schema":2}`, "schema 2"},
		{`{"schema":1,"schema":1}`, "twice"},
		{`{"schema":1,"stage":{}}`, `unknown field "stage"`},
		{`{"schema":1,"stages":{"canry":{}}}`, `unknown field "canry"`},
		{`{"schema":1,"stages":{"canary":{"watch":48}}}`, "stages.canary"},
		{`{"schema":1,"stages":{"canary":{"watch":"2d"}}}`, "want a duration such as 48h"},
		{`{"schema":1,"stages":{"canary":{"share":0.1,"share":0.9}}}`, "twice"},
		{`{"schema":1,"limits":null}`, "null"},
		{`{"schema":1,"seed":"12345678901234567"}`, "16 hex digits"},
		{`{"schema":1,"seed":"-1"}`, "hex digits"},
		{`{"schema":1,"version":"x"}`, "version"},
		{`{"schema":1}` + strings.Repeat(" ", MaxPlan), "larger"},
	} {
		if _, err := Overlay(base, []byte(test.json)); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60s: %v, want %q", test.json, err, test.want)
		}
	}
}

func TestPlanCheck(t *testing.T) {
	if err := plan(t).Check(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		want string
		set  func(*Plan)
	}{
		{"release", func(p *Plan) { p.Release = "" }},
		{"sku", func(p *Plan) { p.SKU = "" }},
		{"version", func(p *Plan) { p.Version = compat.Version{} }},
		{"there twice", func(p *Plan) { p.Internal = []string{"a", "a"} }},
		{"at most 100", func(p *Plan) { p.Internal = make([]string, 101) }},
		{"canary.watch", func(p *Plan) { p.Steps.Canary.Watch = 0 }},
		{"full.patience", func(p *Plan) { p.Steps.Full.Patience = 1000 * 24 * time.Hour }},
		{"wide above canary", func(p *Plan) { p.Steps.Canary.Share = 0.5 }},
		{"wide above canary", func(p *Plan) { p.Steps.Wide.Share = 1 }},
		{"canary.share", func(p *Plan) { p.Steps.Canary.Share = math.NaN() }},
		{"are 0 and 1", func(p *Plan) { p.Steps.Full.Share = 0.9 }},
		{"failure_rate", func(p *Plan) { p.FailureRate = 0 }},
		{"power", func(p *Plan) { p.Power = 1 }},
		{"detect", func(p *Plan) { p.Detect = math.Inf(1) }},
		{"drain_margin", func(p *Plan) { p.DrainMargin = math.NaN() }},
	} {
		p := plan(t)
		test.set(&p)
		if err := p.Check(); !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestParseState(t *testing.T) {
	s := State{Schema: Schema, Phase: Running, Stage: Canary, Opened: time.Unix(1e9, 0).UTC()}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseState(b); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{`{`, `{}`, `{"schema":2,"phase":"running","stage":"canary"}`, `{"schema":1,"phase":"run","stage":"canary"}`, `{"schema":1,"phase":"running","stage":"x"}`} {
		if _, err := ParseState([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func FuzzPlan(f *testing.F) {
	b, err := json.Marshal(plan(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":1,"stages":{"canary":{"share":1e308,"watch":"-1ns"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePlan(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := ParsePlan(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Errorf("%s\nbecame %s: %v", b, again, err)
		}
	})
}

func TestProgress(t *testing.T) {
	at := func(m int) time.Time { return time.Unix(int64(60*m), 0).UTC() }
	type word struct {
		o    Outcome
		code string
		at   time.Time
	}
	for name, test := range map[string]struct {
		words []word
		want  Progress
	}{
		"trying": {[]word{{Trying, "", at(1)}}, Progress{Outcome: Trying, Trying: at(1)}},
		"confirmed, and the beginning heard later": {[]word{{Confirmed, "", at(3)}, {Trying, "", at(1)}},
			Progress{Outcome: Confirmed, Trying: at(1), Confirmed: at(3)}},
		"rolled back in its trial": {[]word{{Trying, "", at(1)}, {RolledBack, "silent", at(2)}},
			Progress{Outcome: RolledBack, Code: "silent", Trying: at(1), RolledBack: at(2)}},
		"an emergency stop in its trial": {[]word{{Trying, "", at(1)}, {RolledBack, "unexplained_estop", at(2)}},
			Progress{Outcome: RolledBack, Code: "unexplained_estop", Trigger: "unexplained_estop", Trying: at(1), RolledBack: at(2)}},
		"a trigger": {[]word{{Confirmed, "", at(1)}, {RolledBack, "reboots", at(2)}},
			Progress{Outcome: RolledBack, Code: "reboots", Trigger: "reboots", Confirmed: at(1), RolledBack: at(2)}},
		"a trigger heard before the confirmation": {[]word{{RolledBack, "reboots", at(2)}, {Confirmed, "", at(1)}, {RolledBack, "reboots", at(2)}},
			Progress{Outcome: RolledBack, Code: "reboots", Trigger: "reboots", Confirmed: at(1), RolledBack: at(2)}},
		"called back by a person": {[]word{{Confirmed, "", at(1)}, {RolledBack, "asked", at(2)}},
			Progress{Outcome: RolledBack, Code: "asked", Confirmed: at(1), RolledBack: at(2)}},
		"failed, then again and well": {[]word{{Failed, "download", at(1)}, {Confirmed, "", at(2)}},
			Progress{Outcome: Confirmed, Failed: at(1), Confirmed: at(2)}},
		"a failure heard late": {[]word{{Confirmed, "", at(2)}, {Failed, "download", at(1)}},
			Progress{Outcome: Confirmed, Failed: at(1), Confirmed: at(2)}},
		"nonsense": {[]word{{"exploded", "", at(1)}, {Pending, "", at(1)}}, Progress{}},
	} {
		var got Progress
		for _, w := range test.words {
			got = got.With(w.o, w.code, w.at)
		}
		if got != test.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, test.want)
		}
	}
}
