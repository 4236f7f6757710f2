package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
)

func TestWorse(t *testing.T) {
	s := func(v ...float64) []float64 { return v }
	tests := []struct {
		name         string
		ours, theirs []float64
		want         bool
	}{
		{"less", s(0.9, 0.91, 0.905), s(1, 1.01, 1.005), false},
		{"equal", s(1), s(1), false},
		{"more within the least noise", s(1.04), s(1), false},
		{"more beyond it", s(1.06), s(1), true},
		{"within two percent", s(10.19), s(10), false},
		{"beyond two percent", s(10.21), s(10), true},
		{"within the spread", s(1, 1.3, 1.4), s(0.9, 1.1, 1.15), false},
		{"beyond the spread", s(1.2, 1.4, 1.41), s(1, 1.01, 1.02), true},
		{"one outlier does not excuse", s(1.3, 1.3, 1.5), s(1, 1, 1), true},
		{"of two the mean", s(1, 1.08), s(0.99, 1), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := spreadOf(test.ours).worse(spreadOf(test.theirs), "s"); got != test.want {
				t.Errorf("worse = %v, want %v", got, test.want)
			}
		})
	}
	if spreadOf(s(0.02)).worse(spreadOf(s(0.01)), "s") || !spreadOf(s(0.02)).worse(spreadOf(s(0.01)), "MiB") {
		t.Error("the least noise of a time is 50 ms, that of other units is none")
	}
}

func three() []row {
	return []row{
		{Part: "downtime", Case: "small change", Who: "agent", Unit: "s", Values: []float64{1}, Bound: &bound{By: "line", Value: 0.5}},
		{Part: "downtime", Case: "small change", Who: "esptool", Unit: "s", Values: []float64{3}, Mark: "none"},
		{Part: "downtime", Case: "small change", Who: "esptool -x", Unit: "s", Values: []float64{0.8}, More: []figure{{Name: "sent", Value: 7, Unit: "B"}}},
		{Part: "memory", Case: "at rest", Who: "agent", Unit: "MiB", Values: []float64{30}},
	}
}

func TestJudgeNamesTheCase(t *testing.T) {
	err := judge(three())
	if err == nil || !strings.Contains(err.Error(), "downtime, small change: the agent needs 1.00 s where esptool -x needs 0.80 s") {
		t.Errorf("judge = %v, want the case and the way that is faster", err)
	}
	if err := judge(three()[:2]); err != nil {
		t.Errorf("judge = %v, want none", err)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := show(&out, three()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DOWNTIME", "MEMORY", "line: 0.50 s", "50.0 %", "3.00", "sent 7 B", "mark: none", "30.00 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	r := newRecord(options{full: true})
	r.Rows = three()
	if err := r.save(file); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got record
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 4 || got.Rows[0].Bound == nil || got.Rows[0].Bound.By != "line" || !got.Full || got.CPUs == 0 {
		t.Errorf("%+v", got)
	}
}

func TestChosen(t *testing.T) {
	if _, err := chosen(parts(), "nonesuch"); err == nil || !strings.Contains(err.Error(), "downtime") {
		t.Errorf("%v, want the parts there are", err)
	}
	if p, err := chosen(parts(), "downtime"); err != nil || len(p) != 1 || p[0].name != "downtime" {
		t.Errorf("%v, %v", p, err)
	}
}

// TestBound: the line or the flash sets it, whichever takes longer, and the
// proof comes on top.
func TestBound(t *testing.T) {
	c := benchCase{baud: usualBaud, change: change{floor: 92_160}} // 1 s
	for _, tc := range []struct {
		writing, proof time.Duration
		instant        bool
		by             string
		want           float64
	}{
		{0, 0, true, "line", 1},
		{500 * time.Millisecond, 100 * time.Millisecond, false, "line", 1.1},
		{2 * time.Second, 100 * time.Millisecond, false, "flash", 2.1},
		{0, 2 * time.Second, false, "MD5", 3},
	} {
		c.instant = tc.instant
		if got := c.bound(sample{writing: tc.writing, proof: tc.proof}, 92_160); got.By != tc.by || got.Value != tc.want {
			t.Errorf("%+v: %+v", tc, got)
		}
	}
}

func TestMark(t *testing.T) {
	rows := []row{{Values: []float64{1.05}}, {Values: []float64{4}}}
	for want, c := range map[string]benchCase{
		"95 % of it on the line: 95.2 %, met; 10.3 s: met":    {link: overPTY, baud: usualBaud, change: change{fresh: true, floor: 92_160}},
		"95 % of it on the line: 85.7 %, missed; 10.3 s: met": {link: overPTY, baud: usualBaud, change: change{fresh: true, floor: 82_944}},
		"5 times as fast as esptool: 3.8, missed":             {link: overPTY, baud: usualBaud, change: change{small: true}},
		"": {link: overPTY, baud: 115200, change: change{fresh: true}},
	} {
		if got := c.mark(rows); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestChanges: each change is what its name says, in sectors.
func TestChanges(t *testing.T) {
	f, err := prepare(t.TempDir(), 700_000, nil)
	if err != nil {
		t.Fatal(err)
	}
	sectors := (len(f.update) + sectorSize - 1) / sectorSize
	for i, want := range []struct{ least, most int }{{sectors, sectors}, {2, 2}, {2, 2}, {sectors / 3, sectors/2 + 1}, {0, 0}} {
		c, differ := f.changes[i], 0
		for at := 0; at < len(f.update); at += sectorSize {
			if !sameSector(c.before, f.update, at) {
				differ++
			}
		}
		if differ < want.least || differ > want.most {
			t.Errorf("%s: %d of %d sectors differ, want %d to %d", c.name, differ, sectors, want.least, want.most)
		}
		if (c.floor == 0) != (differ == 0) || c.floor > len(f.update) {
			t.Errorf("%s: floor of %d bytes for %d sectors", c.name, c.floor, differ)
		}
	}
	app, err := image.ParseApp(f.changes[2].before)
	if err != nil {
		t.Fatal(err)
	}
	if app.Desc.Version != runningVersion {
		t.Errorf("version %q, want %q", app.Desc.Version, runningVersion)
	}
}

// TestFirmware: the image has the code of the firmware that was given, and is
// one that passes.
func TestFirmware(t *testing.T) {
	code := bytes.Repeat([]byte("instructions and data. "), 20_000)
	f, err := prepare(t.TempDir(), 1, code)
	if err != nil {
		t.Fatal(err)
	}
	app, err := image.ParseApp(f.update)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for i, b := range f.update[:len(code)] {
		if b == code[i] {
			same++
		}
	}
	if app.Desc.Version != newVersion || same < len(code)*98/100 {
		t.Errorf("version %q, %d of %d bytes from the firmware", app.Desc.Version, same, len(code))
	}
}

// TestCases: the quick table has every change at the usual speed and the first
// write at every speed and over the network, and the full
// one every change at every speed, with the time of the flash and without.
func TestCases(t *testing.T) {
	f := files{changes: []change{{name: "a", fresh: true}, {name: "b", small: true}}}
	if got := len(cases(options{runs: 1}, f)); got != 7 {
		t.Errorf("quick: %d cases, want 7", got)
	}
	if got := len(cases(options{runs: 3, full: true}, f)); got != 18 {
		t.Errorf("full: %d cases, want 18", got)
	}
	if got := cases(options{runs: 1, only: "b, 921600"}, f); len(got) != 1 || got[0].change.name != "b" || len(got[0].esptool) != 3 {
		t.Errorf("-only: %+v", got)
	}
}
