package release

import (
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func version(t *testing.T, s string) compat.Version {
	t.Helper()
	if s == "" {
		return compat.Version{}
	}
	v, err := compat.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestChoose(t *testing.T) {
	var offered []Release
	for _, s := range []string{"0.1.1", "0.2.1", "0.2.0", "1.0.0", "1.1.0"} {
		v := version(t, s)
		protocol, _ := compat.DefaultTable().Protocol(v)
		offered = append(offered, Release{SKU: "basic", Version: v, Protocol: protocol, Name: s, Status: Stable})
	}
	offered[4].Status = Withdrawn
	offered = append(offered, Release{SKU: "standard", Version: version(t, "1.2.0"), Protocol: 2, Name: "standard", Status: Stable})
	for name, tt := range map[string]struct{ running, companion, want string }{
		"the highest that fits the companion":           {"0.1.0", "0.2.0", "0.2.1"},
		"an old companion":                              {"0.1.0", "0.1.0", "0.2.1"},
		"a new companion":                               {"0.2.1", "1.0.0", "1.0.0"},
		"a companion that nobody knows, same protocol":  {"0.1.0", "", "0.2.1"},
		"a companion that nobody knows, newer protocol": {"0.2.1", "", ""},
		"a companion that nobody knows, 1.x":            {"1.0.0", "", ""},
		"it runs the highest":                           {"1.0.0", "1.0.0", ""},
		"never below what it runs":                      {"1.0.5", "1.0.0", ""},
		"a firmware that no table lists":                {"0.9.0", "", ""},
		"the same, with a known companion":              {"0.9.0", "1.0.0", "1.0.0"},
	} {
		got, ok := Choose(offered, Robot{SKU: "basic", Running: version(t, tt.running), Companion: version(t, tt.companion)})
		if got.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", name, got.Name, ok, tt.want)
		}
	}
}
