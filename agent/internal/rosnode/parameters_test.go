package rosnode

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParameterNames(t *testing.T) {
	p, err := newParameters([]Parameter{ReadOnly("b", "", "x"), ReadOnly("g.a", "", int64(1)), ReadOnly("g.h.c", "", 1.5)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		prefixes []string
		depth    uint64
		names    string
		levels   string
	}{
		{nil, 0, "b g.a g.h.c use_sim_time", "g g.h"},
		{nil, 1, "b use_sim_time", ""},
		{nil, 2, "b g.a use_sim_time", "g"},
		{[]string{"g"}, 0, "g.a g.h.c", "g g.h"},
		{[]string{"g"}, 1, "g.a", "g"},
		{[]string{"g.h", "b"}, 0, "b g.h.c", "g.h"},
		{[]string{"nothing"}, 0, "", ""},
	}
	for _, test := range tests {
		names, levels := p.list(test.prefixes, test.depth)
		if strings.Join(names, " ") != test.names || strings.Join(levels, " ") != test.levels {
			t.Errorf("%v, %d: %v, %v", test.prefixes, test.depth, names, levels)
		}
	}
}

func TestParameterDeclarations(t *testing.T) {
	for name, given := range map[string][]Parameter{
		"twice": {ReadOnly("a", "", 1.0), ReadOnly("a", "", 1.0)}, "ours": {ReadOnly("use_sim_time", "", true)},
		"no name": {ReadOnly("", "", true)}, "type": {ReadOnly("a", "", 1)}, "no value": {{Name: "a"}},
	} {
		if _, err := newParameters(given); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestSetParameters(t *testing.T) {
	x, n := 0.5, int64(7)
	var history []any
	p, err := newParameters([]Parameter{
		{Name: "x", Max: 1, Value: func() any { return x }, Set: func(v any) error { x = v.(float64); history = append(history, v); return nil }},
		{Name: "n", Value: func() any { return n }, Set: func(v any) error { n = v.(int64); return nil }},
		{Name: "picky", Value: func() any { return "s" }, Set: func(any) error { return errors.New("no") }},
		ReadOnly("fixed", "", "y"),
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		value any
		why   string
	}{
		{"x", 0.25, ""}, {"x", int64(1), ""}, {"x", 1.5, "not between"}, {"x", -0.1, "not between"}, {"x", math.NaN(), "not between"},
		{"x", "1", "value such as"}, {"x", nil, "value such as"}, {"n", 1.0, "value such as"}, {"n", int64(-5), ""},
		{"picky", "z", "no"}, {"fixed", "z", "configuration file"}, {"none", 1.0, "no such parameter"}, {"use_sim_time", false, ""}, {"use_sim_time", true, "not for this node"},
	}
	for _, test := range tests {
		err := p.set(setting{test.name, test.value})
		if (err == nil) != (test.why == "") || (err != nil && !strings.Contains(err.Error(), test.why)) {
			t.Errorf("%s := %v: %v", test.name, test.value, err)
		}
	}
	x, history = 0.5, nil
	if err := p.setAll([]setting{{"x", 0.1}, {"n", int64(1)}, {"picky", "z"}}); err == nil || x != 0.5 || n != -5 {
		t.Errorf("%v; x %v, n %v", err, x, n)
	}
	if !slices.Equal(history, []any{0.1, 0.5}) {
		t.Errorf("x was set to %v", history)
	}
	if err := p.setAll([]setting{{"x", 0.1}, {"n", int64(1)}}); err != nil || x != 0.1 || n != 1 {
		t.Errorf("%v; x %v, n %v", err, x, n)
	}
	unknown, err := p.start([]override{{"", "x", 0.9}, {"other", "n", int64(3)}, {"", "what", 1.0}}, "/ota_agent")
	if err != nil || x != 0.9 || n != 1 || !slices.Equal(unknown, []string{"what"}) {
		t.Errorf("%v, %v; x %v, n %v", unknown, err, x, n)
	}
	if _, err := p.start([]override{{"", "fixed", "z"}}, "/ota_agent"); !errors.Is(err, ErrArgs) {
		t.Errorf("a read-only parameter on the command line: %v", err)
	}
}
