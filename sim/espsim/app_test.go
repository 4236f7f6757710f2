package espsim

import (
	"testing"
	"testing/synctest"
	"time"
)

// trial is a chip that runs ota_0, VALID, and has a new image in ota_1.
func trial(t *testing.T, behaviour string) []byte {
	t.Helper()
	flash, err := Provision(0, 0, map[string][]byte{
		"ota_0": tinyImage("0.2.0", "good"), "ota_1": tinyImage("0.2.1", behaviour),
	})
	if err != nil {
		t.Fatal(err)
	}
	putEntry(flash, 0, entry(1, stateValid))
	putEntry(flash, 1, entry(2, stateNew))
	return flash
}

// What becomes of a trial, by behaviour and boot loader, 60 s later.
func TestBehaviours(t *testing.T) {
	type outcome struct {
		slot, state, selfTest string
		publishing            bool
	}
	back := outcome{"ota_0", "valid", "passed", true}
	kept := outcome{"ota_1", "valid", "passed", true}
	for _, tt := range []struct {
		behaviour       string
		rollback, plain outcome
	}{
		{"good", kept, kept},
		{"crash_at_boot", back, back},
		{"crash_early", back, outcome{}},
		{"fail_self_test", back, back},
		{"hang", outcome{"ota_1", "pending_verify", "running", true}, outcome{"ota_1", "new", "running", true}},
		{"no_confirm", outcome{"ota_1", "pending_verify", "passed", true}, outcome{"ota_1", "new", "passed", true}},
		{"silent", outcome{"ota_1", "valid", "passed", false}, outcome{"ota_1", "valid", "passed", false}},
		{"silent:10", outcome{"ota_1", "valid", "passed", false}, outcome{"ota_1", "valid", "passed", false}},
		{"wrong_version:0.9.9", kept, kept},
		{"goes_bad_after:20", kept, kept},
		{"estop_after:20", kept, kept},
		{"drain_after:20", kept, kept},
	} {
		for _, rollback := range []bool{true, false} {
			name, want := tt.behaviour+"/rollback", tt.rollback
			if !rollback {
				name, want = tt.behaviour+"/plain", tt.plain
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, Config{Flash: trial(t, tt.behaviour), Rollback: rollback}, func(t *testing.T, c *Chip) {
					time.Sleep(60 * time.Second)
					synctest.Wait()
					s := c.App()
					if got := (outcome{s.Slot, s.OTAState, s.SelfTest, s.Publishing}); got != want {
						t.Errorf("after a minute: %+v, want %+v", got, want)
					}
				})
			})
		}
	}
}

// Who ended a trial shows in its entry: the boot loader aborts, the firmware
// calls itself invalid.
func TestHowTrialsEnd(t *testing.T) {
	for behaviour, want := range map[string][2]string{ // with rollback, without
		"crash_at_boot":  {"aborted", "invalid"},
		"crash_early":    {"aborted", "new"},
		"fail_self_test": {"invalid", "invalid"},
	} {
		for i, rollback := range []bool{true, false} {
			bubble(t, Config{Flash: trial(t, behaviour), Rollback: rollback}, func(t *testing.T, c *Chip) {
				time.Sleep(60 * time.Second)
				if got := c.Report().OTAData[1].State; got != want[i] {
					t.Errorf("%s, rollback %v: %s, want %s", behaviour, rollback, got, want[i])
				}
			})
		}
	}
}

// ESP-IDF goes back to the slot of the other entry, or to factory where that
// entry is ruled out, and to no other: without either, firmware that fails its
// self-test stays.
func TestNoWayBack(t *testing.T) {
	flash, err := Provision(0, 0, map[string][]byte{
		"ota_0": tinyImage("0.2.0", "good"), "ota_1": tinyImage("0.2.1", "fail_self_test"),
	})
	if err != nil {
		t.Fatal(err)
	}
	putEntry(flash, 0, entry(1, stateInvalid))
	putEntry(flash, 1, entry(2, stateNew))
	bubble(t, Config{Flash: flash, Rollback: true}, func(t *testing.T, c *Chip) {
		time.Sleep(60 * time.Second)
		if s := c.App(); s.Slot != "ota_1" || s.SelfTest != "failed" || s.SafetyState != "fault" || s.OTAState != "pending_verify" {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatGoesWrongLater(t *testing.T) {
	for behaviour, ok := range map[string]func(AppStatus) bool{
		"goes_bad_after:20":   func(s AppStatus) bool { return s.SafetyState == "fault" },
		"estop_after:20":      func(s AppStatus) bool { return s.EStop },
		"drain_after:20":      func(s AppStatus) bool { return s.Drain == 3 },
		"wrong_version:0.9.9": func(s AppStatus) bool { return s.Version == "0.9.9" },
		"crash_after:20":      func(s AppStatus) bool { return s.ResetReason == "panic" && s.BootCount == 2 },
		"silent:20":           func(s AppStatus) bool { return s.Running && !s.Publishing },
	} {
		bubble(t, Config{Flash: trial(t, behaviour), Rollback: true}, func(t *testing.T, c *Chip) {
			start := time.Now()
			waitFor(t, c, "confirmation", func(s AppStatus) bool { return s.OTAState == "valid" && s.SelfTest == "passed" })
			waitFor(t, c, behaviour, ok)
			if d := time.Since(start); behaviour != "wrong_version:0.9.9" && (d < 20*time.Second || d > 30*time.Second) {
				t.Errorf("%s after %v", behaviour, d)
			}
		})
	}
}

// Any reset before confirmation ends the trial, a look in through download
// mode included; download mode itself leaves the OTA data alone.
func TestResetEndsTrial(t *testing.T) {
	bubble(t, Config{Flash: trial(t, "no_confirm"), Rollback: true}, func(t *testing.T, c *Chip) {
		waitFor(t, c, "the trial", func(s AppStatus) bool { return s.OTAState == "pending_verify" })
		c.ResetToBootloader()
		time.Sleep(time.Second)
		if e := c.Report().OTAData[1]; e.State != "pending_verify" {
			t.Errorf("download mode made the entry %s", e.State)
		}
		c.ResetToApp()
		s := waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running })
		if s.Slot != "ota_0" || c.Report().OTAData[1].State != "aborted" {
			t.Errorf("runs %s, entry %+v", s.Slot, c.Report().OTAData[1])
		}
	})
}

// The counters in NVS survive a power cut, and a torn record costs no more
// than itself.
func TestCountersSurvive(t *testing.T) {
	bubble(t, Config{Flash: trial(t, "good"), Rollback: true}, func(t *testing.T, c *Chip) {
		for i := range uint64(300) {
			s := waitFor(t, c, "the application", func(s AppStatus) bool { return s.Running && s.BootCount == i+1 })
			if s.BootCount != i+1 {
				t.Fatalf("boot %d is counted %d", i+1, s.BootCount)
			}
			c.PowerCut()
			c.PowerOn()
		}
	})
}

func TestBehaviourArguments(t *testing.T) {
	for _, s := range []string{"good:1", "goes_bad_after", "goes_bad_after:x", "silent:-1", "nothing", "", "crash_after:NaN"} {
		if CheckBehaviour(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
	for _, s := range append(Behaviours()[:8:8], "crash_after:5", "silent:0.5", "drain_after:1", "estop_after:0", "goes_bad_after:3") {
		if err := CheckBehaviour(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}
