package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTold(t *testing.T) {
	const two = `echo measuring; test "$1" = -rows
		echo '[{"case":"a","who":"agent","unit":"s","values":[1]},{"case":"b","who":"agent","unit":"s","values":[2]}]' >"$2"`
	tests := []struct {
		name, script string
		o            options
		rows         int
		fault        string
	}{
		{name: "all", script: two, rows: 2},
		{name: "one case of the part", script: two, o: options{part: "robot", only: "b"}, rows: 1},
		{name: "another part's case", script: "exit 1", o: options{only: "b"}},
		{name: "it fails", script: two + "; exit 3", fault: "exit status 3"},
		{name: "it writes nothing", script: "true", fault: "no such file"},
		{name: "it writes nonsense", script: `echo '[{}]' >"$2"`, fault: "no case"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			rows, err := told("sh", "-ec", test.script, "sh")(t.Context(), test.o, &out)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("%v, want %q", err, test.fault)
				}
				return
			}
			if err != nil || len(rows) != test.rows {
				t.Errorf("%+v, %v", rows, err)
			}
			if test.rows > 0 && out.String() != "measuring\n" {
				t.Errorf("it said %q", &out)
			}
		})
	}
}
