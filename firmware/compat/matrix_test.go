package compat_test

import (
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// operatorsTable is what the fleet's operators wrote down, word for word.
const operatorsTable = `
| 0.1.x | 1 | 0.1.x |
| 0.2.x | 1 | 0.1.x, 0.2.x |
| 1.0.x | 2 | 1.0.x and later |`

// fits reads the operators' table as a person would: by the texts of its cells.
// "Minor versions stay compatible within a major" from 1.0 on, so firmware 1.4
// is 1.0.x to the table.
func fits(fw, companion compat.Version, advertised compat.Protocol) bool {
	for _, line := range strings.Split(strings.TrimSpace(operatorsTable), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		series := func(v compat.Version, minor bool) string {
			if v.Major == 1 && !minor {
				return "1.0.x"
			}
			return strings.TrimSuffix(v.String()[:strings.LastIndexByte(v.String(), '.')], ".") + ".x"
		}
		if series(fw, false) != cells[0] {
			continue
		}
		if advertised != 0 && string('0'+byte(advertised)) != cells[1] {
			return false
		}
		if strings.HasSuffix(cells[2], "and later") {
			return companion.Major >= 1
		}
		for _, c := range strings.Split(cells[2], ", ") {
			if series(companion, true) == c {
				return true
			}
		}
		return false
	}
	return false
}

// TestEveryPair goes through all pairs of firmware and companion, listed and
// unlisted, in whatever order they came to be, and through what the firmware
// may advertise with it.
func TestEveryPair(t *testing.T) {
	texts := []string{
		"0.0.1", "0.0.255", "0.1.0", "0.1.1", "0.1.255", "0.2.0", "0.2.9", "0.2.255", "0.3.0", "0.9.0", "0.10.0", "0.255.255",
		"1.0.0", "1.0.255", "1.1.0", "1.255.255", "2.0.0", "2.1.3", "10.0.0", "256.0.0", "65535.255.255",
	}
	table, yes, no := compat.DefaultTable(), 0, 0
	for _, fw := range texts {
		for _, companion := range texts {
			for _, advertised := range []compat.Protocol{0, 1, 2, 3, 9} {
				f, c := v(t, fw), v(t, companion)
				err, want := table.Check(f, advertised, c), fits(f, c, advertised)
				if (err == nil) != want {
					t.Errorf("firmware %s, protocol %d, companion %s: %v; the operators say %v", fw, advertised, companion, err, want)
				}
				if want {
					yes++
				} else {
					no++
				}
			}
		}
	}
	if yes < 50 || no < 1000 {
		t.Errorf("%d pairs fit and %d do not: the test does not ask what it should", yes, no)
	}
}

// The three rows stand in the table as they were written down.
func TestRowsAreTheOperators(t *testing.T) {
	table := compat.DefaultTable()
	lines := strings.Split(strings.TrimSpace(operatorsTable), "\n")
	if len(table) != len(lines) {
		t.Fatalf("%d rows, the operators have %d", len(table), len(lines))
	}
	for i, want := range []struct {
		firmware, companion string
		protocol            compat.Protocol
	}{{"0.1.x", "0.1.x", 1}, {"0.2.x", "0.1.x to 0.2.x", 1}, {"1.x", "1.0.x and later", 2}} {
		if r := table[i]; r.Firmware.String() != want.firmware || r.Companion.String() != want.companion || r.Protocol != want.protocol {
			t.Errorf("row %d: %v, %d, %v", i, r.Firmware, r.Protocol, r.Companion)
		}
	}
}
