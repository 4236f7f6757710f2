package main

import (
	"strings"
	"testing"
)

const report = `{"part":"cut flash","points":900,"of":1000,"second":100,"failures":0,"seeds":"1","new":600,"old":400}
{"part":"journal","points":200,"second":1500,"failures":0,"seeds":"0-15"}

{"part":"journal","points":34,"second":0,"failures":1,"seeds":"0-15"}
{"part":"every bit of an image","points":524288,"accepted":0,"failures":0}
{"part":"the server","points":12,"accepted":1,"failures":1}
{"part":"fuzz","points":0,"executions":1234567,"failures":0}
{"part":"one life","hours":96,"failures":0,"seeds":"1-4"}
`

func TestPage(t *testing.T) {
	parts, err := read(strings.NewReader(report))
	if err != nil {
		t.Fatal(err)
	}
	got, err := render(parts, facts{Commit: "abc123", Date: "2026-03-01", Limit: "30m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"on 2026-03-01 at commit abc123, which gave the cut machine 30m.",
		"**2,734 interruptions, 1 failures: 1,134 points cut of 1,234 known, and 1,600 second cuts",
		"| cut flash | 900 | 1,000 | 100 | 0 | 600 | 400 | 1 |",
		"| journal | 234 | 234 | 1,500 | 1 | – | – | 0-15 |",
		"**524,300 lies told, 1 accepted.** **1,234,567 executions of fuzz targets.**",
		"| the server | 12 | 1 | 1 |",
		"| fuzz | 1,234,567 | 0 |",
		"## Noise", "| one life | 96 | 0 | 1-4 |",
		"TestAStopWhileNoAgentLived",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "<no value>") || strings.Contains(got, "\n\n\n") {
		t.Errorf("holes in:\n%s", got)
	}
}

// A run of the cut machine alone has no table of lies.
func TestPageOfCutsAlone(t *testing.T) {
	parts, err := read(strings.NewReader(strings.SplitAfter(report, "\n")[0]))
	if err != nil {
		t.Fatal(err)
	}
	got, err := render(parts, facts{Commit: "abc123", Date: "2026-03-01"})
	if err != nil || strings.Contains(got, "## Lies") || strings.Contains(got, "## Fuzzing") || strings.Contains(got, "## Noise") || strings.Contains(got, "gave the cut machine") {
		t.Errorf("%v:\n%s", err, got)
	}
}

func TestReportsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "\n",
		"no JSON":    "ok\n",
		"no part":    `{"points":3}`,
		"other type": `{"part":"x","points":"three"}`,
		"too long":   `{"part":"` + strings.Repeat("x", maxLine) + `"}`,
	} {
		if parts, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", name, parts)
		}
	}
}
