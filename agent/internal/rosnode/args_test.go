package rosnode

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestOverrides(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("/**:\n  ros__parameters:\n    a: 1\n    gates: {min: 0.5, names: [x, y]}\n/r1:\n  ota_agent:\n    ros__parameters: {b: true}\nota_agent:\n  ros__parameters: {c: text}\n")
	tests := []struct {
		args []string
		want []override
	}{
		{[]string{"run", "-p", "x:=1"}, nil}, // not ROS's
		{[]string{"--ros-args", "-p", "x:=1", "--", "-p", "y:=2"}, []override{{"", "x", int64(1)}}},
		{[]string{"--ros-args", "--param", "n:x:=0.5", "-r", "a:=b", "-p", "s:=text", "-p", "b:=true", "-p", "l:=[a, b]"},
			[]override{{"n", "x", 0.5}, {"", "s", "text"}, {"", "b", true}, {"", "l", []string{"a", "b"}}}},
		{[]string{"--ros-args", "--params-file", file}, []override{
			{"/**", "a", int64(1)}, {"/**", "gates.min", 0.5}, {"/**", "gates.names", []string{"x", "y"}},
			{"/r1/ota_agent", "b", true}, {"ota_agent", "c", "text"},
		}},
	}
	for _, test := range tests {
		got, err := overrides(test.args)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%v: %v, %v", test.args, got, err)
		}
	}
	for _, bad := range [][]string{
		{"--ros-args", "-p"}, {"--ros-args", "-p", "x"}, {"--ros-args", "-p", ":=1"}, {"--ros-args", "-p", "x:=[1"},
		{"--ros-args", "--params-file", file + "x"},
	} {
		if _, err := overrides(bad); !errors.Is(err, ErrArgs) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	write(strings.Repeat("#", maxParamsFile+1))
	if _, err := overrides([]string{"--ros-args", "--params-file", file}); !errors.Is(err, ErrArgs) {
		t.Errorf("a huge file: %v", err)
	}
}

func TestOverrideMeets(t *testing.T) {
	const node = "/r1/ota_agent"
	for to, want := range map[string]bool{
		"": true, "/**": true, "ota_agent": true, node: true, "r1/ota_agent": true, "other": false, "/ota_agent": false, "/r2/ota_agent": false,
	} {
		if got := (override{node: to}).meets(node); got != want {
			t.Errorf("%q: %v", to, got)
		}
	}
}

func TestSimTime(t *testing.T) {
	for value, refused := range map[string]bool{"true": true, "false": false, "1": true, "maybe": true} {
		all, err := overrides([]string{"--ros-args", "-p", "use_sim_time:=" + value})
		if err != nil {
			t.Fatal(err)
		}
		if got := simTime(all); errors.Is(got, ErrSimTime) != refused {
			t.Errorf("%s: %v", value, got)
		}
	}
}

// Whatever stands on a command line, reading it ends in values or an error.
func FuzzOverrides(f *testing.F) {
	for _, s := range []string{"x:=1", "n:x:=[a, b]", "x:={a: {b: c}}", "use_sim_time:=true", ":=", "x:=&a [*a]", "x:=!!int y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		got, err := overrides([]string{"--ros-args", "-p", rule})
		if (err == nil) != (len(got) == 1) {
			t.Errorf("%v, %v", got, err)
		}
		if err != nil && !errors.Is(err, ErrArgs) {
			t.Errorf("an error of another kind: %v", err)
		}
		_ = simTime(got)
	})
}
