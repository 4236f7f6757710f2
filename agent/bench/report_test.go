package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
)

func TestSlower(t *testing.T) {
	ms := func(d ...int) (out []time.Duration) {
		for _, v := range d {
			out = append(out, time.Duration(v)*time.Millisecond)
		}
		return out
	}
	tests := []struct {
		name         string
		ours, theirs []time.Duration
		want         bool
	}{
		{"faster", ms(900, 910, 905), ms(1000, 1010, 1005), false},
		{"equal", ms(1000), ms(1000), false},
		{"slower within the least noise", ms(1040), ms(1000), false},
		{"slower beyond it", ms(1060), ms(1000), true},
		{"within two percent", ms(10_190), ms(10_000), false},
		{"beyond two percent", ms(10_210), ms(10_000), true},
		{"within the spread", ms(1000, 1300, 1400), ms(900, 1100, 1150), false},
		{"beyond the spread", ms(1200, 1400, 1410), ms(1000, 1010, 1020), true},
		{"one outlier does not excuse", ms(1300, 1300, 1500), ms(1000, 1000, 1000), true},
		{"of two the mean", ms(1000, 1080), ms(990, 1000), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := spreadOf(test.ours).slower(spreadOf(test.theirs)); got != test.want {
				t.Errorf("slower = %v, want %v", got, test.want)
			}
		})
	}
}

func TestJudgeNamesTheCase(t *testing.T) {
	of := func(name string, d time.Duration) column { return column{name: name, samples: []sample{{work: d}}} }
	c := benchCase{link: overPTY, name: "again"}
	results := []result{{c, []column{of("agent", time.Second), of("esptool", 3*time.Second), of("esptool -x", 800*time.Millisecond)}}}
	err := judge(results)
	if err == nil || !strings.Contains(err.Error(), "pty, again: the agent takes 1.00 s where esptool -x takes 0.80 s") {
		t.Errorf("judge = %v, want the case and the way that is faster", err)
	}
	if err := judge([]result{{c, results[0].columns[:2]}}); err != nil {
		t.Errorf("judge = %v, want none", err)
	}
}

func TestReachedIsPartOfWhatTheLineAllows(t *testing.T) {
	c := benchCase{baud: 921600, fresh: true}
	if got := c.reached(92_160, 2*time.Second); got != "50.0 %" {
		t.Errorf("92,160 bytes at 921600 baud in 2 s: %s, want 50.0 %%", got)
	}
	if got := (benchCase{baud: 921600}).reached(92_160, time.Second); got != "-" {
		t.Errorf("%s for a write that leaves bytes out", got)
	}
}

func TestBumpedIsAnImageOfItsOwn(t *testing.T) {
	f, err := prepare(t.TempDir(), 300_000)
	if err != nil {
		t.Fatal(err)
	}
	app, err := image.ParseApp(f.bumped)
	if err != nil {
		t.Fatal(err)
	}
	if app.Desc.Version != runningVersion {
		t.Errorf("version %q, want %q", app.Desc.Version, runningVersion)
	}
	const last = 300_000 / sectorSize * sectorSize
	if !bytes.Equal(f.bumped[sectorSize:last], f.update[sectorSize:last]) {
		t.Error("more than the first and the last sector differs")
	}
}
