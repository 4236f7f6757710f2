package dashboard

import (
	"encoding/json"
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

func TestTree(t *testing.T) {
	show := func(nodes []node) string { return string(must(json.Marshal(nodes))) }
	for in, want := range map[string]string{
		``:                            `null`,
		`{"b":1,"a":[true,null,"x"]}`: `[{"Name":"b","Value":"1","Below":null},{"Name":"a","Value":"","Below":[{"Name":"","Value":"yes","Below":null},{"Name":"","Value":"none","Below":null},{"Name":"","Value":"x","Below":null}]}]`,
		`7`:                           `[{"Name":"","Value":"7","Below":null}]`,
		`{}`:                          `[]`,
		`{"a":`:                       `[{"Name":"","Value":"{\"a\":","Below":null}]`,
	} {
		if got := show(tree(json.RawMessage(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	for name, in := range map[string]string{"deep": strings.Repeat("[", 20) + strings.Repeat("]", 20), "many": "[" + strings.Repeat("1,", maxNodes) + "1]"} {
		if got := tree(json.RawMessage(in)); len(got) != 1 || got[0].Value != "too much to be shown here" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := tree(json.RawMessage(`"` + strings.Repeat("ü", maxText) + `"`)); len(got[0].Value) > maxText+10 || !strings.HasSuffix(got[0].Value, "ü …") {
		t.Errorf("a long text: %d bytes", len(got[0].Value))
	}
}

func FuzzTree(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `[[[[]]]]`, `"\ud800"`, `{"a":1}{"b":2}`, `nul`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		var walk func([]node, int)
		walk = func(nodes []node, depth int) {
			for _, m := range nodes {
				if n++; n > maxNodes+1 || depth > maxDepth+1 || len(m.Value) > maxText+10 || len(m.Name) > maxText+10 {
					t.Fatalf("beyond its bounds: %d nodes, %d deep", n, depth)
				}
				walk(m.Below, depth+1)
			}
		}
		walk(tree(json.RawMessage(in)), 0)
	})
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
