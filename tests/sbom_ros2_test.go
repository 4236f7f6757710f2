//go:build ros2

package tests

import (
	"debug/buildinfo"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
)

// A bill of materials names every module that the linker wrote into the
// program, with its version, and nothing else; made twice it is the same.
func TestBillsOfMaterials(t *testing.T) {
	bin, dist, again := binaries(t), t.TempDir(), t.TempDir()
	for _, to := range []string{dist, again} {
		if out, err := run(t, "../scripts/sbom", bin, to); err != nil {
			t.Fatal(err, out)
		}
	}
	for _, program := range []string{"ota-agent", "ota-fleet", "ota-sign", "ota-sim"} {
		raw := text(t, filepath.Join(dist, program+".cdx.json"))
		if raw != text(t, filepath.Join(again, program+".cdx.json")) {
			t.Errorf("%s: two bills of the same program differ", program)
		}
		var bill struct {
			Format   string `json:"bomFormat"`
			Spec     string `json:"specVersion"`
			Metadata struct {
				Component struct{ Name, Version string }
			}
			Parts []struct{ Name, Version, Purl string } `json:"components"`
		}
		if err := json.Unmarshal([]byte(raw), &bill); err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		if bill.Format != "CycloneDX" || bill.Spec == "" || bill.Metadata.Component.Version == "" {
			t.Errorf("%s: %+v", program, bill.Metadata)
		}
		info, err := buildinfo.ReadFile(filepath.Join(bin, program))
		if err != nil {
			t.Fatal(err)
		}
		var linked, named []string
		for _, m := range info.Deps {
			linked = append(linked, m.Path+"@"+m.Version)
		}
		for _, c := range bill.Parts {
			named = append(named, c.Name+"@"+c.Version)
			if c.Purl == "" {
				t.Errorf("%s: %s has no package URL", program, c.Name)
			}
		}
		slices.Sort(linked)
		slices.Sort(named)
		if len(linked) == 0 || !slices.Equal(linked, named) {
			t.Errorf("%s: linked %q, named %q", program, linked, named)
		}
	}
	if _, err := run(t, "../scripts/sbom", t.TempDir(), dist); err == nil {
		t.Error("a folder without programs has a bill")
	}
	if left, _ := filepath.Glob(filepath.Join(dist, "*.new")); len(left) > 0 {
		t.Error("left behind:", left)
	}
}
