package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func parse(t *testing.T, s string) compat.Version {
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

// TestProtocol goes up and down through the operators' table: what decides is
// the firmware that wants in and the companion, not what runs.
func TestProtocol(t *testing.T) {
	const open, shut = true, false
	for _, tt := range []struct {
		from, to, companion string
		advertised          compat.Protocol
		want                bool
	}{
		// Row 0.1.x: companion 0.1.x.
		{"0.1.0", "0.1.7", "0.1.0", 1, open},
		{"0.1.7", "0.1.0", "0.1.9", 0, open},
		{"0.2.0", "0.1.7", "0.2.0", 0, shut},
		{"0.2.0", "0.1.7", "0.1.0", 1, open},
		{"0.2.0", "0.1.7", "1.0.0", 0, shut},
		// Row 0.2.x: companions 0.1.x and 0.2.x.
		{"0.1.0", "0.2.0", "0.1.0", 1, open},
		{"0.1.0", "0.2.0", "0.2.0", 1, open},
		{"0.2.0", "0.2.1", "0.2.0", 0, open},
		{"0.2.1", "0.2.0", "0.2.0", 0, open},
		{"1.0.0", "0.2.9", "0.2.0", 1, open},
		{"1.0.0", "0.2.9", "1.0.0", 1, shut},
		{"0.1.0", "0.2.0", "0.3.0", 0, shut},
		{"0.1.0", "0.2.0", "0.0.9", 0, shut},
		// Row 1.0.x: companion 1.0.x and later.
		{"0.2.0", "1.0.0", "0.2.255", 2, shut},
		{"0.2.0", "1.0.0", "0.1.0", 0, shut},
		{"0.2.0", "1.0.0", "1.0.0", 2, open},
		{"0.2.0", "1.0.0", "1.7.0", 0, open},
		{"1.4.0", "1.0.0", "2.0.0", 2, open},
		{"1.0.0", "1.4.0", "1.0.0", 2, open},
		// Unlisted firmware, whatever the companion, minor or major.
		{"0.2.0", "0.0.9", "0.1.0", 0, shut},
		{"0.2.0", "0.3.0", "0.2.0", 1, shut},
		{"0.2.0", "0.3.0", "0.3.0", 1, shut},
		{"1.0.0", "2.0.0", "1.0.0", 2, shut},
		{"1.0.0", "2.0.0", "2.0.0", 3, shut},
		{"1.0.0", "65535.0.0", "65535.0.0", 0, shut},
		// A protocol that contradicts the version, in both directions.
		{"0.2.0", "0.2.1", "0.2.0", 2, shut},
		{"0.2.0", "1.0.0", "1.0.0", 1, shut},
		{"0.2.0", "0.1.0", "0.1.0", 9, shut},
		// A companion that nobody named.
		{"0.2.0", "0.2.1", "", 1, shut},
	} {
		f := ready(noon)
		f.Firmware.Version = parse(t, tt.from)
		p := DefaultPolicy()
		p.Companion = parse(t, tt.companion)
		got := Check(f, nil, Candidate{Version: parse(t, tt.to), Protocol: tt.advertised}, p, noon)
		want := []Code{Incompatible}
		if tt.want == open {
			want = nil
		}
		if !slices.Equal(codes(got), want) {
			t.Errorf("from %s to %s (protocol %d) beside %q: %v, want %v", tt.from, tt.to, tt.advertised, tt.companion, got, want)
		}
		if tt.want == shut && len(got) == 1 && (!strings.Contains(got[0].Text, tt.to) || got[0].Lift == "") {
			t.Errorf("the reason does not say what is wrong: %+v", got[0])
		}
	}
}
