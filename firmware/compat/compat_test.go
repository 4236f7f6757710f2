package compat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func v(t testing.TB, s string) compat.Version {
	t.Helper()
	if s == "" {
		return compat.Version{}
	}
	out, err := compat.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]compat.Version{
		"0.2.1":          {Minor: 2, Patch: 1},
		"v0.2.1":         {Minor: 2, Patch: 1},
		"1.0.0":          {Major: 1},
		"65535.255.255":  {Major: 65535, Minor: 255, Patch: 255},
		"v65535.255.255": {Major: 65535, Minor: 255, Patch: 255},
	} {
		if got, err := compat.ParseVersion(text); err != nil || got != want {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":                   "want MAJOR.MINOR.PATCH",
		"v":                  "want MAJOR.MINOR.PATCH",
		"1":                  "want MAJOR.MINOR.PATCH",
		"1.2":                "want MAJOR.MINOR.PATCH",
		"1.2.3.4":            "want MAJOR.MINOR.PATCH",
		"1..3":               `"" is not a decimal number`,
		"vv1.2.3":            `"v1" is not`,
		"V1.2.3":             `"V1" is not`,
		" 1.2.3":             `" 1" is not`,
		"1.2.3\n":            "is not a decimal number",
		"1.2.3-rc1":          `"3-rc1" is not`,
		"1.2.+3":             `"+3" is not`,
		"1.2.-3":             `"-3" is not`,
		"1.2.0x3":            `"0x3" is not`,
		"1.2.٣":              "is not a decimal number",
		"01.2.3":             `"01" has a leading zero`,
		"1.2.00":             `"00" has a leading zero`,
		"65536.0.0":          "above 65535",
		"1.256.0":            "above 255",
		"1.0.256":            "above 255",
		"0.0.0":              "unknown version",
		"99999999999999.0.0": "longer than the longest",
		"v0.2.1-12-gdeadbee": "longer than the longest",
	} {
		got, err := compat.ParseVersion(text)
		if !errors.Is(err, compat.ErrVersion) || !strings.Contains(err.Error(), says) || !got.IsZero() {
			t.Errorf("%q is read as %v, %v, want it to say %q", text, got, err, says)
		}
	}
}

func TestPacked(t *testing.T) {
	for packed, text := range map[uint32]string{
		0x00000201: "0.2.1", 0x00010000: "1.0.0", 0xFFFFFFFF: "65535.255.255", 0x0102A0B0: "258.160.176", 0: "0.0.0",
	} {
		got := compat.FromPacked(packed)
		if got.String() != text || got.Packed() != packed {
			t.Errorf("%#x is %v, packed %#x, want %s", packed, got, got.Packed(), text)
		}
	}
}

func TestCompare(t *testing.T) {
	rising := []string{"", "0.0.1", "0.1.0", "0.1.255", "0.2.0", "0.10.0", "1.0.0", "1.0.1", "256.0.0", "65535.0.0"}
	for i, a := range rising {
		for j, b := range rising {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v(t, a).Compare(v(t, b)); got != want {
				t.Errorf("%q against %q gives %d", a, b, got)
			}
		}
	}
}

func TestVersionJSON(t *testing.T) {
	type doc struct{ A, B compat.Version }
	b, err := json.Marshal(doc{A: v(t, "0.2.1")})
	if err != nil || string(b) != `{"A":"0.2.1","B":""}` {
		t.Fatalf("written as %s, %v", b, err)
	}
	back := doc{B: v(t, "9.9.9")}
	if err := json.Unmarshal(b, &back); err != nil || back != (doc{A: v(t, "0.2.1")}) {
		t.Errorf("read back as %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"0.2"}`), &back); !errors.Is(err, compat.ErrVersion) {
		t.Errorf("a bad version: %v", err)
	}
}

func TestProtocol(t *testing.T) {
	table := compat.DefaultTable()
	for fw, want := range map[string]compat.Protocol{
		"0.1.0": 1, "0.1.255": 1, "0.2.0": 1, "0.2.9": 1, "1.0.0": 2, "1.0.9": 2,
		"1.7.3": 2, // minor versions stay compatible within a major
		"0.0.1": 0, "0.3.0": 0, "2.0.0": 0, "": 0,
	} {
		if got, ok := table.Protocol(v(t, fw)); got != want || ok != (want != 0) {
			t.Errorf("firmware %q speaks %d, %v, want %d", fw, got, ok, want)
		}
	}
}

// TestTable goes through the operators' table in both directions.
func TestTable(t *testing.T) {
	for _, c := range []struct {
		fw, companion string
		says          string // "" fits
	}{
		{"0.1.0", "0.1.0", ""},
		{"0.1.7", "0.1.3", ""},
		{"0.1.0", "0.2.0", "fits companion 0.1.x only; choose a firmware 0.2.x"},
		{"0.1.0", "1.0.0", "fits companion 0.1.x only; choose a firmware 1.x"},
		{"0.2.1", "0.1.0", ""},
		{"0.2.1", "0.2.255", ""},
		{"0.2.1", "0.0.9", "needs companion 0.1.x to 0.2.x; update the companion to 0.1.x first"},
		{"0.2.1", "0.3.0", "only; choose a companion version that the table lists"},
		{"0.2.1", "1.0.0", "fits companion 0.1.x to 0.2.x only; choose a firmware 1.x"},
		{"1.0.0", "0.1.0", "(protocol 2) needs companion 1.0.x and later; update the companion to 1.0.x first"},
		{"1.0.0", "0.2.0", "update the companion to 1.0.x first"},
		{"1.0.0", "1.0.0", ""},
		{"1.0.0", "1.5.0", ""},
		{"1.0.0", "2.0.0", ""},
		{"1.4.2", "1.0.0", ""},
		{"0.3.0", "0.2.0", "not in the compatibility table; update the companion to a release that lists firmware 0.3.x first"},
		{"2.0.0", "2.0.0", "not in the compatibility table"},
		{"0.0.1", "0.1.0", "not in the compatibility table"},
		{"", "0.1.0", "the firmware's version is not known"},
		{"0.2.1", "", "the companion's version is not known; set"},
	} {
		err := compat.DefaultTable().Check(v(t, c.fw), 0, v(t, c.companion))
		if c.says == "" {
			if err != nil {
				t.Errorf("firmware %q, companion %q: %v", c.fw, c.companion, err)
			}
			continue
		}
		var inc *compat.Incompatible
		if !errors.As(err, &inc) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("firmware %q, companion %q: %v, want it to say %q", c.fw, c.companion, err, c.says)
			continue
		}
		if inc.Firmware != v(t, c.fw) || inc.Companion != v(t, c.companion) {
			t.Errorf("firmware %q, companion %q: names %v and %v", c.fw, c.companion, inc.Firmware, inc.Companion)
		}
	}
}

func TestAdvertisedProtocol(t *testing.T) {
	table := compat.DefaultTable()
	if err := table.Check(v(t, "1.0.0"), 2, v(t, "1.0.0")); err != nil {
		t.Errorf("the right protocol: %v", err)
	}
	err := table.Check(v(t, "1.0.0"), 1, v(t, "1.0.0"))
	var inc *compat.Incompatible
	if !errors.As(err, &inc) || inc.Protocol != 1 || !strings.Contains(inc.Reason, "advertises protocol 1, but firmware 1.x speaks protocol 2") {
		t.Errorf("another protocol: %v", err)
	}
	if err := table.Check(v(t, "2.0.0"), 2, v(t, "1.0.0")); err == nil {
		t.Error("a protocol that is known makes unlisted firmware fit")
	}
}

func TestRangeString(t *testing.T) {
	for want, r := range map[string]compat.Range{
		"0.1.x":           {From: v(t, "0.1.0"), Below: v(t, "0.2.0")},
		"0.1.x to 0.2.x":  {From: v(t, "0.1.0"), Below: v(t, "0.3.0")},
		"1.x":             {From: v(t, "1.0.0"), Below: v(t, "2.0.0")},
		"1.2.x to 2.x":    {From: v(t, "1.2.0"), Below: v(t, "3.0.0")},
		"1.0.x and later": {From: v(t, "1.0.0")},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"0.2.1", "v1.0.0", "65535.255.255", "0.0.0", "1.2.3-rc1", "01.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := compat.ParseVersion(s)
		if err != nil {
			if !errors.Is(err, compat.ErrVersion) || !got.IsZero() {
				t.Fatalf("%q: %v, %v", s, got, err)
			}
			return
		}
		if text := got.String(); s != text && s != "v"+text {
			t.Fatalf("%q is read as %s", s, text)
		}
		if compat.FromPacked(got.Packed()) != got || got.IsZero() {
			t.Fatalf("%q does not survive packing", s)
		}
	})
}
