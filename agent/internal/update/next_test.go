package update

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	target = compat.Version{Minor: 2, Patch: 1}
	old    = Installed{Slot: "ota_0", Version: compat.Version{Minor: 2}, AppSHA256: "aa"}
	proven = Proven{Image{Version: target, FileSHA256: "f1", AppSHA256: "bb", Size: 4096, Key: "k"}}
	asked  = Trigger{ID: "j1", Request: Request{URL: "https://u/i", Origin: FromROS}}
)

// run feeds events one after the other and returns the memory and the effects
// of the last.
func run(t *testing.T, m Memory, events ...Event) (Memory, []Effect) {
	t.Helper()
	var effects []Effect
	for i, ev := range events {
		var err error
		if m, effects, err = Next(m, ev, noon.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatalf("event %d, %T in %s: %v", i, ev, m.Job.State, err)
		}
	}
	return m, effects
}

// road is the way of a good update, an event and the state and effects that it
// leads to.
func road() []struct {
	event   Event
	state   State
	effects []Effect
} {
	return []struct {
		event   Event
		state   State
		effects []Effect
	}{
		{asked, Checking, []Effect{DoCheck}},
		{Resolved{Offer{URL: "https://u/i"}}, Downloading, []Effect{DoDownload}},
		{Fetched{SHA256: "f1", Size: 5000, Downloaded: 700, Patched: true}, Verifying, []Effect{DoVerify}},
		{proven, Waiting, []Effect{DoAskGates}},
		{Blocked{[]preflight.Reason{{Code: preflight.BatteryLow}}}, Waiting, nil},
		{Clear{}, Handover, []Effect{DoTakeLine}},
		{LineTaken{}, Connecting, []Effect{DoConnect}},
		{Connected{From: old, To: "ota_1"}, Writing, []Effect{DoWrite}},
		{Written{}, Attesting, []Effect{DoAttest}},
		{Attested{}, Attesting, []Effect{DoSwitch}},
		{Switched{}, Booting, []Effect{DoAwait}},
		{Released{}, Booting, nil},
		{Up{}, Validating, []Effect{DoWatch}},
		{TrialPassed{[]string{"well"}}, Confirmed, []Effect{DoConfirm}},
		{Kept{}, Observing, []Effect{DoRecord, DoObserve}},
		{ObservationOver{}, Idle, nil},
	}
}

// until walks the road up to and including the step that first enters state.
func until(t *testing.T, state State) Memory {
	t.Helper()
	m := New()
	if state == Idle {
		return m
	}
	for _, step := range road() {
		m, _ = run(t, m, step.event)
		if m.Job.State == state {
			return m
		}
	}
	t.Fatalf("the road does not lead through %s", state)
	return m
}

func TestAGoodUpdate(t *testing.T) {
	m := New()
	for _, step := range road() {
		var effects []Effect
		m, effects = run(t, m, step.event)
		if m.Job.State != step.state || !slices.Equal(effects, step.effects) {
			t.Fatalf("after %T: %s %v, want %s %v", step.event, m.Job.State, effects, step.state, step.effects)
		}
	}
	if m.Held || m.Loader {
		t.Error("line or chip are still held at the end")
	}
	want := &Update{From: old, To: "ota_1", Image: proven.Image}
	if !reflect.DeepEqual(m.Last, want) {
		t.Errorf("the update that could be rolled back is %+v, want %+v", m.Last, want)
	}
}

func TestTheDeedIsRememberedBeforeItIsDone(t *testing.T) {
	m := New()
	for _, step := range road() {
		var effects []Effect
		m, effects = run(t, m, step.event)
		for _, e := range effects {
			switch e {
			case DoTakeLine:
				if !m.Held {
					t.Error("the line is taken before the memory says so")
				}
			case DoConnect, DoConfirm, DoRestore:
				if !m.Held || !m.Loader {
					t.Errorf("%s before the memory says that chip and line are held", e)
				}
			case DoSwitch:
				if !m.Job.Switched {
					t.Error("the slot is switched before the memory says so")
				}
			default:
			}
		}
	}
}

// switched builds the memory of a job whose slot is being switched.
func switching(t *testing.T) Memory {
	m, _ := run(t, until(t, Attesting), Attested{})
	return m
}

func TestFailuresAndRestarts(t *testing.T) {
	fail := EffectFailed{Code: "broken", Text: "it broke"}
	planned, _ := run(t, New(), Trigger{ID: "j1", Request: Request{Origin: FromSchedule}})
	again := EffectFailed{Code: "broken", Text: "it broke", Retry: true}
	held := func(m Memory) Memory { m.Held, m.Loader = true, true; return m }
	tests := []struct {
		name    string
		from    Memory
		event   Event
		state   State
		effects []Effect
	}{
		{"check fails", until(t, Checking), fail, Failed, []Effect{DoRecord}},
		{"download fails", until(t, Downloading), fail, Failed, []Effect{DoRecord}},
		{"verification fails", until(t, Verifying), fail, Failed, []Effect{DoRecord}},
		{"hand-over fails", until(t, Handover), fail, Failed, []Effect{DoRecord, DoRelease}},
		{"robot moves at the hand-over", until(t, Handover), Blocked{}, Waiting, []Effect{DoRelease}},
		{"connection fails for good", until(t, Connecting), fail, Failed, []Effect{DoRecord, DoRelease}},
		{"connection fails", until(t, Connecting), again, Connecting, []Effect{DoConnect}},
		{"write fails", until(t, Writing), again, Connecting, []Effect{DoConnect}},
		{"write fails for good", until(t, Writing), fail, Failed, []Effect{DoRecord, DoRelease}},
		{"attest fails", until(t, Attesting), again, Connecting, []Effect{DoConnect}},
		{"switch fails", switching(t), again, RollingBack, []Effect{DoRestore}},
		{"boot fails", until(t, Booting), fail, RollingBack, []Effect{DoRestore}},
		{"trial cannot be followed", until(t, Validating), fail, RollingBack, []Effect{DoRestore}},
		{"trial fails", until(t, Validating), TrialFailed{Code: "silent"}, RollingBack, []Effect{DoRestore}},
		{"trial fails, old firmware is back", until(t, Validating), TrialFailed{Code: "back", Back: true}, RolledBack, []Effect{DoRecord}},
		{"confirmation fails", until(t, Confirmed), fail, RollingBack, []Effect{DoRestore}},
		{"trigger fires", until(t, Observing), Fired{Code: "reboots"}, RollingBack, []Effect{DoStand}},
		{"the robot moves", firing(t), Blocked{Reasons: []preflight.Reason{{Code: preflight.Moving}}}, RollingBack, nil},
		{"the robot stands", firing(t), Standing{}, RollingBack, []Effect{DoRestore}},
		{"waiting for it breaks", firing(t), fail, RollingBack, []Effect{DoRestore}},
		{"restart while the robot moves", firing(t), Restarted{}, RollingBack, []Effect{DoStand}},

		{"restart in idle", New(), Restarted{}, Idle, nil},
		{"restart in checking", until(t, Checking), Restarted{}, Checking, []Effect{DoCheck}},
		{"restart in a check that nobody asked for", planned, Restarted{}, Idle, nil},
		{"restart in downloading", until(t, Downloading), Restarted{}, Downloading, []Effect{DoDownload}},
		{"restart in verifying", until(t, Verifying), Restarted{}, Verifying, []Effect{DoVerify}},
		{"restart in waiting", until(t, Waiting), Restarted{}, Waiting, []Effect{DoAskGates}},
		{"restart in handover", until(t, Handover), Restarted{}, Waiting, []Effect{DoRelease}},
		{"restart in connecting", until(t, Connecting), Restarted{}, Waiting, []Effect{DoRelease}},
		{"restart in writing", until(t, Writing), Restarted{}, Waiting, []Effect{DoRelease}},
		{"restart in attesting", until(t, Attesting), Restarted{}, Waiting, []Effect{DoRelease}},
		{"restart in the switch", switching(t), Restarted{}, Booting, []Effect{DoAwait}},
		{"restart in booting", until(t, Booting), Restarted{}, Booting, []Effect{DoAwait}},
		{"restart in validating", until(t, Validating), Restarted{}, Booting, []Effect{DoAwait}},
		{"restart in confirmed", until(t, Confirmed), Restarted{}, Confirmed, []Effect{DoConfirm}},
		{"restart in observing", until(t, Observing), Restarted{}, Observing, []Effect{DoObserve}},
		{"restart with the chip still held", held(New()), Restarted{}, Idle, []Effect{DoRelease}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, effects := run(t, tt.from, tt.event)
			if m.Job.State != tt.state || !slices.Equal(effects, tt.effects) {
				t.Fatalf("%s %v, want %s %v", m.Job.State, effects, tt.state, tt.effects)
			}
		})
	}
}

// firing is an observation of which a trigger has fired.
func firing(t *testing.T) Memory {
	t.Helper()
	m, _ := run(t, until(t, Observing), Fired{Code: "reboots"})
	return m
}

// While a roll-back waits for the robot to stand nothing is touched, and the
// memory says so; afterwards the debt is noted before the deed.
func TestARollbackWaitsUntilTheRobotStands(t *testing.T) {
	m := firing(t)
	if m.Held || m.Loader {
		t.Error("held while it waits")
	}
	if _, bad := m.BadVersion(target); !bad {
		t.Error("the version is not blamed yet")
	}
	if _, _, err := Next(m, Restored{}, noon); err == nil {
		t.Error("restored before the line was taken")
	}
	m, _ = run(t, m, Blocked{Reasons: []preflight.Reason{{Code: preflight.Moving}}})
	if len(m.Job.Reasons) != 1 {
		t.Errorf("reasons %+v", m.Job.Reasons)
	}
	for _, ev := range []Event{asked, RollbackAsked{ID: "r"}, CancelAsked{}, VisitAsked{}} {
		var busy *BusyError
		if _, _, err := Next(m, ev, noon); !errors.As(err, &busy) {
			t.Errorf("%T: %v", ev, err)
		}
	}
	m, _ = run(t, m, Standing{})
	if !m.Held || !m.Loader || len(m.Job.Reasons) > 0 {
		t.Errorf("%+v", m)
	}
	for _, ev := range []Event{Standing{}, Blocked{}} {
		if _, _, err := Next(m, ev, noon); err == nil {
			t.Errorf("%T while it is put back", ev)
		}
	}
	if _, effects := run(t, m, Restarted{}); !slices.Equal(effects, []Effect{DoRestore}) {
		t.Errorf("a restart then: %v", effects)
	}
}

func TestRollingBackNeverGivesUp(t *testing.T) {
	m, _ := run(t, until(t, Validating), TrialFailed{Code: "silent"})
	for range 100 {
		var effects []Effect
		m, effects = run(t, m, EffectFailed{Code: "dead", Retry: false})
		if m.Job.State != RollingBack || !slices.Equal(effects, []Effect{DoRestore}) {
			t.Fatalf("%s %v", m.Job.State, effects)
		}
	}
	m, effects := run(t, m, Restarted{})
	if m.Job.State != RollingBack || !slices.Equal(effects, []Effect{DoRestore}) {
		t.Fatalf("after a restart: %s %v", m.Job.State, effects)
	}
	m, effects = run(t, m, Restored{})
	if m.Job.State != RolledBack || m.Held || m.Loader || m.Job.Switched || !slices.Equal(effects, []Effect{DoRecord}) {
		t.Fatalf("%+v %v", m, effects)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	m := until(t, Connecting)
	for range MaxAttempts {
		if m.Job.State != Connecting {
			t.Fatalf("gave up too early: %s after %d attempts", m.Job.State, m.Job.Attempts)
		}
		text := "cable pulled"
		if m.Job.Attempts == MaxAttempts {
			text = "no such port"
		}
		m, _ = run(t, m, EffectFailed{Code: "noise", Text: text, Retry: true})
	}
	if m.Job.State != Failed || m.Job.Failure.Code != "noise" || m.Job.Failure.State != Connecting {
		t.Fatalf("%s %+v", m.Job.State, m.Job.Failure)
	}

	if text := m.Job.Failure.Text; !strings.Contains(text, "no such port") || !strings.Contains(text, "attempt 1 failed in connecting: cable pulled") {
		t.Errorf("the failure does not tell what came before it: %q", text)
	}

	m = until(t, Downloading)
	for range MaxRestarts {
		if m, _ = run(t, m, Restarted{}); m.Job.State != Downloading {
			t.Fatalf("gave up too early: %s after %d restarts", m.Job.State, m.Job.Restarts)
		}
	}
	if m, _ = run(t, m, Restarted{}); m.Job.State != Failed || m.Job.Failure.Code != CodeRestarts {
		t.Fatalf("%s %+v", m.Job.State, m.Job.Failure)
	}
}

// A robot that is switched off every evening waits for weeks, and remembers
// since when; an agent that dies as soon as it waits does not go on for ever.
func TestWaitingIsNoFailure(t *testing.T) {
	low := []preflight.Reason{{Code: preflight.OutsideWindow, Since: noon}}
	m, _ := run(t, until(t, Waiting), Blocked{low})
	now := noon
	for day := range 30 {
		now = now.Add(24 * time.Hour)
		var effects []Effect
		var err error
		if m, effects, err = Next(m, Restarted{}, now); err != nil || m.Job.State != Waiting || !slices.Equal(effects, []Effect{DoAskGates}) {
			t.Fatalf("day %d: %s, %v, %v", day, m.Job.State, effects, err)
		}
		if !slices.Equal(m.Job.Reasons, low) {
			t.Fatalf("day %d: reasons %+v", day, m.Job.Reasons)
		}
	}
	for range MaxRestarts {
		now = now.Add(steady - time.Second)
		m, _, _ = Next(m, Restarted{}, now)
	}
	if m.Job.State != Failed || m.Job.Failure.Code != CodeRestarts {
		t.Errorf("an agent that dies again and again: %s", m.Job.State)
	}
}

func TestATrialThatNeverGetsToItsEnd(t *testing.T) {
	m := until(t, Validating)
	for range MaxRestarts {
		if m, _ = run(t, m, Restarted{}, Up{}); m.Job.State != Validating {
			t.Fatalf("gave up too early: %s after %d restarts", m.Job.State, m.Job.Restarts)
		}
	}
	m, effects := run(t, m, Restarted{})
	if m.Job.State != RollingBack || !slices.Equal(effects, []Effect{DoRestore}) {
		t.Fatalf("%s %v", m.Job.State, effects)
	}
	if _, bad := m.BadVersion(target); bad {
		t.Error("the version is blamed for the agent's restarts")
	}
}

func TestTheTimeWithoutFirmware(t *testing.T) {
	taken := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	booting, validating := until(t, Booting), until(t, Validating)
	booting.Job.TakenAt = taken
	after := func(m Memory, at time.Time, events ...Event) float64 {
		for _, ev := range events {
			var err error
			if m, _, err = Next(m, ev, at); err != nil {
				t.Fatalf("%T: %v", ev, err)
			}
		}
		return m.Job.AwaySeconds
	}
	if got := after(booting, taken.Add(11200*time.Millisecond), Up{}); got != 11.2 {
		t.Errorf("away for %v s, want 11.2", got)
	}
	if got := after(booting, taken.Add(-time.Hour), Up{}); got != 0 {
		t.Errorf("away for %v s by a clock that was set back", got)
	}
	if got := after(booting, taken.Add(time.Hour), Restarted{}, Up{}); got != 0 {
		t.Errorf("away for %v s, but nobody was there to hear the first word", got)
	}
	validating.Job.AwaySeconds = 11.2
	if got := after(validating, taken.Add(time.Hour), Restarted{}, Up{}); got != 11.2 {
		t.Errorf("away for %v s after a restart, want 11.2 as before it", got)
	}
}

// What was away is counted up to each record, and not over what nobody followed.
func TestTheTimeWithoutFirmwareOfARollBack(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		from   State
		events []Event // 10 s apart
		want   float64
		said   string
	}{
		"out of the trial":           {Validating, []Event{TrialFailed{Code: "c"}, Restored{Heard: true}}, 11 + 10, "in all, until the old one spoke again"},
		"a boot that was not heard":  {Validating, []Event{TrialFailed{Code: "c"}, Restored{}}, 11 + 10, "in all, and has not been heard again"},
		"the restart of an agent":    {Validating, []Event{TrialFailed{Code: "c"}, Restarted{}, Restored{Heard: true}}, 11, "11.0 s in all"},
		"a restore that needs three": {Validating, []Event{TrialFailed{Code: "c"}, EffectFailed{}, EffectFailed{}, Restored{Heard: true}}, 11 + 30, "41.0 s in all"},
		"out of the observation":     {Observing, []Event{Fired{Code: "c"}, Standing{}, Restored{Heard: true}}, 10, "10.0 s in all"},
	} {
		m, now := until(t, tt.from), start
		m.Job.AwaySeconds, m.Job.TakenAt = 11, time.Time{}
		for _, ev := range tt.events {
			now = now.Add(10 * time.Second)
			var err error
			if m, _, err = Next(m, ev, now); err != nil {
				t.Fatalf("%s: %T: %v", name, ev, err)
			}
		}
		if j := m.Job; j.AwaySeconds != tt.want || !strings.Contains(strings.Join(j.Evidence, "\n"), tt.said) {
			t.Errorf("%s: away for %v s, want %v; %q", name, j.AwaySeconds, tt.want, j.Evidence)
		}
	}
}

func TestAScheduledCheckThatFailsIsNoFailedUpdate(t *testing.T) {
	m, _ := run(t, New(), Trigger{ID: "j1", Request: Request{Origin: FromSchedule}})
	m, effects := run(t, m, EffectFailed{Code: "unreachable", Text: "no route"})
	if m.Job.State != Idle || len(effects) != 0 || m.Job.Failure == nil {
		t.Fatalf("%+v %v", m.Job, effects)
	}
}

func TestCommands(t *testing.T) {
	busy := func(err error) bool { var b *BusyError; return errors.As(err, &b) && b.JobID == "j1" }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	none := func(err error) bool { return err == nil }
	tests := map[State]struct{ trigger, cancel, rollback func(error) bool }{
		Idle:        {none, is(ErrNothingToCancel), is(ErrNothingToRollBack)},
		Checking:    {busy, none, busy},
		Downloading: {busy, none, busy},
		Verifying:   {busy, none, busy},
		Waiting:     {busy, none, busy},
		Handover:    {busy, none, busy},
		Connecting:  {busy, none, busy},
		Writing:     {busy, none, busy},
		Attesting:   {busy, none, busy},
		Booting:     {busy, is(ErrTooLate), none},
		Validating:  {busy, is(ErrTooLate), none},
		Confirmed:   {busy, is(ErrTooLate), busy},
		Observing:   {none, is(ErrNothingToCancel), none},
	}
	for state, want := range tests {
		m := until(t, state)
		if state == Booting {
			m, _ = run(t, m, Released{})
		}
		for _, c := range []struct {
			event Event
			ok    func(error) bool
		}{
			{Trigger{ID: "j2", Request: asked.Request}, want.trigger},
			{CancelAsked{}, want.cancel},
			{RollbackAsked{ID: "j2", Reason: "bad"}, want.rollback},
		} {
			got, effects, err := Next(m, c.event, noon)
			if !c.ok(err) {
				t.Errorf("%T in %s: %v", c.event, state, err)
			}
			if err != nil && (!reflect.DeepEqual(got, m) || effects != nil) {
				t.Errorf("%T in %s was refused and changed something", c.event, state)
			}
		}
	}
	if _, _, err := Next(switching(t), CancelAsked{}, noon); !errors.Is(err, ErrTooLate) {
		t.Errorf("cancel in the switch: %v", err)
	}
}

func TestNoJobWhileTheChipIsPutBack(t *testing.T) {
	m, _ := run(t, until(t, Writing), EffectFailed{Code: "cable"})
	_, _, err := Next(m, asked, noon)
	var b *BusyError
	if !errors.As(err, &b) || !b.Held {
		t.Fatalf("trigger while held: %v", err)
	}
	m, _ = run(t, m, Released{})
	run(t, m, asked)
}

// TestALateReleaseGivesNothingBack: while the chip is in use, that it was given
// back is news of an earlier time.
func TestALateReleaseGivesNothingBack(t *testing.T) {
	connecting, _ := run(t, New(), asked, Resolved{}, Fetched{}, proven, Clear{}, LineTaken{})
	restoring, _ := run(t, until(t, Validating), TrialFailed{Code: "c"})
	for _, m := range []Memory{connecting, until(t, Writing), restoring} {
		next, effects, err := Next(m, Released{}, noon)
		if u := new(Unexpected); !errors.As(err, &u) || !next.Held || !next.Loader || effects != nil {
			t.Errorf("in %s: %v, held %v, loader %v, %v", m.Job.State, err, next.Held, next.Loader, effects)
		}
	}
}

func TestARollbackOnRequest(t *testing.T) {
	m := until(t, Observing)
	m, _ = run(t, m, ObservationOver{}, Trigger{ID: "j2", Request: Request{Origin: FromSchedule}}, NothingNewer{})
	m, effects := run(t, m, RollbackAsked{ID: "j3", Reason: "it squeaks", Origin: FromMQTT})
	if m.Job.State != RollingBack || m.Job.From != old || m.Job.To != "ota_1" || m.Job.ID != "j3" || !slices.Equal(effects, []Effect{DoStand}) {
		t.Fatalf("%+v %v", m.Job, effects)
	}
	m, _ = run(t, m, Standing{}, Restored{})
	if b, bad := m.BadVersion(target); !bad || b.Text != "it squeaks" {
		t.Error("the version that was rolled back would be installed again by the next check")
	}
	if _, _, err := Next(m, RollbackAsked{ID: "j4"}, noon); !errors.Is(err, ErrNothingToRollBack) {
		t.Errorf("a second roll-back: %v", err)
	}
}

func TestAWriteTakesTheWayBackAway(t *testing.T) {
	m := until(t, Observing)
	m, _ = run(t, m, Trigger{ID: "j2", Request: asked.Request}, Resolved{}, Fetched{}, proven, Clear{}, LineTaken{})
	if m.Last == nil {
		t.Fatal("the way back is gone before anything was written")
	}
	m, _ = run(t, m, Connected{From: Installed{Slot: "ota_1"}, To: "ota_0"}, EffectFailed{Code: "cable"}, Released{})
	if _, _, err := Next(m, RollbackAsked{ID: "j3"}, noon); !errors.Is(err, ErrNothingToRollBack) {
		t.Errorf("roll-back into a half-written slot: %v", err)
	}
}

func TestWhatIsBlamedOnAVersion(t *testing.T) {
	for code, want := range map[string]bool{"silent": true, CodeOperator: true, CodeInterrupted: false} {
		m, _ := run(t, until(t, Validating), TrialFailed{Code: code, Text: "x"})
		if _, bad := m.BadVersion(target); bad != want {
			t.Errorf("%s: blamed %v, want %v", code, bad, want)
		}
	}
	m := New()
	for i := range 3 * maxBad {
		m, _ = run(t, m, asked, Resolved{}, Fetched{}, Proven{Image{Version: compat.FromPacked(uint32(i + 1))}}, Clear{}, LineTaken{},
			Connected{From: old, To: "ota_1"}, Written{}, Attested{}, Switched{}, TrialFailed{Code: "x", Back: true}, Released{})
	}
	if len(m.Bad) != maxBad {
		t.Errorf("%d bad versions remembered, want at most %d", len(m.Bad), maxBad)
	}
}

func TestScheduleDoesNotEndAnObservation(t *testing.T) {
	m := until(t, Observing)
	var b *BusyError
	if _, _, err := Next(m, Trigger{ID: "j2", Request: Request{Origin: FromSchedule}}, noon); !errors.As(err, &b) {
		t.Fatalf("%v", err)
	}
}

func TestCheckOfAMemory(t *testing.T) {
	for name, m := range map[string]Memory{
		"no schema":              {Job: Job{State: Idle}},
		"unknown state":          {Schema: 1, Job: Job{ID: "j", State: "dancing"}},
		"state without job":      {Schema: 1, Job: Job{State: Writing}},
		"roll-back to somewhere": {Schema: 1, Job: Job{ID: "j", State: RollingBack}},
	} {
		if err := m.Check(); !errors.Is(err, ErrMemory) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzNext feeds any sequence of events and holds the result against what must
// be true of every step.
func FuzzNext(f *testing.F) {
	events := []Event{
		asked, CancelAsked{}, RollbackAsked{ID: "r"}, Restarted{}, Resolved{}, NothingNewer{}, Fetched{}, proven, Clear{}, Blocked{},
		LineTaken{}, Connected{From: old, To: "ota_1"}, Written{}, Attested{}, Switched{}, Released{}, Up{}, TrialPassed{},
		TrialFailed{Code: "c"}, TrialFailed{Code: "c", Back: true}, Kept{}, Fired{Code: "f"}, ObservationOver{}, Restored{},
		EffectFailed{Code: "e"}, EffectFailed{Code: "e", Retry: true}, VisitAsked{},
	}
	f.Add([]byte{0, 4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 20, 22, 2, 23})
	f.Add([]byte{0, 4, 6, 7, 8, 10, 11, 24, 15, 0})
	f.Add([]byte{0, 4, 6, 7, 8, 10, 11, 12, 13, 3, 18, 25, 23, 3})
	f.Add([]byte{26, 10, 3, 0, 15, 0, 26})
	f.Fuzz(func(t *testing.T, seq []byte) {
		m := New()
		for _, b := range seq {
			ev := events[int(b)%len(events)]
			next, effects, err := Next(m, ev, noon)
			if err != nil {
				if !reflect.DeepEqual(next, m) || effects != nil {
					t.Fatalf("%T in %s was refused and changed something", ev, m.Job.State)
				}
				continue
			}
			invariants(t, m, ev, next, effects)
			m = next
		}
	})
}

func invariants(t *testing.T, m Memory, ev Event, next Memory, effects []Effect) {
	t.Helper()
	s := next.Job.State
	if err := next.Check(); err != nil {
		t.Fatalf("%T in %s: %v", ev, m.Job.State, err)
	}
	if next.Job.Switched && slices.Contains([]State{Checking, Downloading, Verifying, Waiting, Handover, Connecting, Writing, Failed, RolledBack}, s) {
		t.Fatalf("%T in %s led to %s although the slot was switched", ev, m.Job.State, s)
	}
	if s.Terminal() && (next.Held || next.Loader) && m.Job.State != s && !slices.Contains(effects, DoRelease) {
		t.Fatalf("%T in %s ended the job and left chip or line held", ev, m.Job.State)
	}
	if s.Busy() && m.Job.State != s && len(effects) == 0 {
		t.Fatalf("%T in %s led to %s, and nothing goes on", ev, m.Job.State, s)
	}
	raw, err := json.Marshal(next)
	var back Memory
	if err == nil {
		err = json.Unmarshal(raw, &back)
	}
	if again, _ := json.Marshal(back); err != nil || string(again) != string(raw) {
		t.Fatalf("the memory does not survive being written: %v\n%s\n%s", err, raw, again)
	}
}
