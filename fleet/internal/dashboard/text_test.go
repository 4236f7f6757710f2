package dashboard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "–", 0: "0.0 s", 4200 * time.Millisecond: "4.2 s", 90 * time.Second: "90 s", 15 * time.Minute: "15 min", 200 * time.Second: "3 min 20 s",
		24 * time.Hour: "24 h", 150 * time.Minute: "2 h 30 min", 48 * time.Hour: "2 d", 50 * time.Hour: "2 d 2 h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.0004: "< 0.1 %", 0.5: "50 %", 0.983: "98.3 %", 0.9996: "> 99.9 %", 1: "100 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %q, want %q", share, got, want)
		}
	}
}

func TestPies(t *testing.T) {
	var counts []store.VersionCount
	for i := range 12 {
		counts = append(counts, store.VersionCount{SKU: "basic", Version: v(fmt.Sprintf("0.1.%d", i)), Robots: 1 + i})
	}
	counts = append(counts, store.VersionCount{SKU: "standard", Robots: 5})
	got := pies(counts)
	if len(got) != 2 || got[0].Robots != 78 || len(got[0].Slices) != slicesMost+1 || got[0].Slices[0].Count != 12 || got[0].Slices[slicesMost].Label != "5 other versions" || got[0].Slices[slicesMost].Count != 15 {
		t.Errorf("got %+v", got)
	}
	if svg := string(got[0].SVG()); strings.Count(svg, "<path") != slicesMost+1 || !strings.Contains(svg, "<title>Firmware of basic. 0.1.11: 15.4 %") {
		t.Error(svg)
	}
	if svg := string(got[1].SVG()); !strings.Contains(svg, "<circle") || !strings.Contains(svg, "not known: 100 %") {
		t.Error(svg)
	}
	if svg := string(pie{SKU: "<b>", Slices: []slice{{Label: "<i>"}}}.SVG()); strings.Contains(svg, "<b>") || strings.Contains(svg, "<i>") {
		t.Error(svg)
	}
	half := pie{SKU: "x", Robots: 4, Slices: []slice{{Count: 3, Share: 0.75}, {Count: 1, Share: 0.25}}}
	if svg := string(half.SVG()); !strings.Contains(svg, "0 1 1 -50.000") || !strings.Contains(svg, "0 0 1 ") {
		t.Error(svg)
	}
}
