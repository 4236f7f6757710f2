package benchtable_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := []benchtable.Row{
		{Case: "at rest", Who: "agent", Unit: "MiB", Values: []float64{35.2}, Bound: &benchtable.Bound{By: "program", Value: 20}, Mark: "missed"},
		{Case: "at rest", Who: "bare", Unit: "MiB", Values: []float64{11, 12}, More: []benchtable.Figure{{Name: "RSS", Value: 29, Unit: "MiB"}}},
	}
	file := filepath.Join(t.TempDir(), "rows.json")
	if err := benchtable.Write(file, want); err != nil {
		t.Fatal(err)
	}
	if got, err := benchtable.Read(file); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRowsThatSayNothing(t *testing.T) {
	for text, want := range map[string]string{
		"":    "EOF",
		"[]":  "0 rows",
		"[{]": "invalid",
		`[{"case":"c","who":"w","unit":"s","values":[1],"speed":3}]`: "speed",
		`[{"case":"c","who":"w","unit":"h","values":[1]}]`:           `unit "h"`,
		`[{"case":"c","who":"w","unit":"s","values":[]}]`:            "0 values",
		`[{"case":"c","who":"w","unit":"s","values":[-1]}]`:          "value -1",
		`[{"case":"c","who":"","unit":"s","values":[1]}]`:            "nobody",
		"[" + strings.Repeat(" ", 1<<20) + "]":                       "too large",
	} {
		file := filepath.Join(t.TempDir(), "rows.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := benchtable.Read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if _, err := benchtable.Read(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}
