package updateserver

import (
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// keeping is a client of a robot that keeps n images.
func keeping(m *memory, n int) (*Client, *[]error) {
	c := client(m)
	kept := []string{strings.Repeat("1a", 32), strings.Repeat("2b", 32), strings.Repeat("3c", 32), strings.Repeat("4d", 32), strings.Repeat("5e", 32)}[:n]
	c.cfg.Kept = func() []string { return kept }
	var bad []error
	c.cfg.BadPatch = func(err error) { bad = append(bad, err) }
	return c, &bad
}

func goodPatch() map[string]any {
	return map[string]any{
		"url": "https://cdn.example.org/v1/artifacts/p", "sha256": strings.Repeat("0b", 32), "size": 40_000, "from_sha256": strings.Repeat("1a", 32),
	}
}

func TestPatchIsAskedFor(t *testing.T) {
	m := &memory{body: encode(t, with("patch", goodPatch()))}
	c, bad := keeping(m, 2)
	got, ok, err := c.Check(t.Context(), running)
	want := update.Patch{URL: "https://cdn.example.org/v1/artifacts/p", SHA256: strings.Repeat("0b", 32), Size: 40_000, From: strings.Repeat("1a", 32)}
	if err != nil || !ok || got.Patch != want || len(*bad) > 0 {
		t.Errorf("got %+v, %v, %v, %v", got, ok, err, *bad)
	}
	if q := m.asked.URL.Query(); len(q["from"]) != 2 || q["from"][0] != strings.Repeat("1a", 32) {
		t.Errorf("asked %s", m.asked.URL)
	}
	for kept, want := range map[int]int{0: 0, 5: maxKept} {
		c, _ := keeping(m, kept)
		if _, _, err := c.Check(t.Context(), running); err != nil || len(m.asked.URL.Query()["from"]) != want {
			t.Errorf("%d are kept: asked %s, %v", kept, m.asked.URL, err)
		}
	}
	// Who did not ask takes none.
	if got, _, err := client(m).Check(t.Context(), running); err != nil || got.Patch != (update.Patch{}) || m.asked.URL.Query().Has("from") {
		t.Errorf("not asked for: %+v, %v", got, err)
	}
}

// A patch that is not taken costs the offer nothing.
func TestRefusedPatches(t *testing.T) {
	patch := func(field string, value any) any {
		p := goodPatch()
		if value == nil {
			delete(p, field)
		} else {
			p[field] = value
		}
		return p
	}
	for name, tt := range map[string]struct {
		patch any
		want  string
	}{
		"no object":           {"x", "its patch: it is no JSON object"},
		"a list":              {[]int{1}, "its patch: it is no JSON object"},
		"no url":              {patch("url", nil), `its patch has no "url"`},
		"an empty url":        {patch("url", ""), "the url of its patch is no URL"},
		"a long url":          {patch("url", "https://cdn.example.org/"+strings.Repeat("x", 3000)), "the url of its patch is no URL"},
		"another host":        {patch("url", "https://evil.example/"), "its patch: refused to ask evil.example"},
		"in clear":            {patch("url", "http://cdn.example.org/"), "its patch: refused to ask"},
		"not readable":        {patch("url", "https://[::1"), "its patch's url cannot be read"},
		"no hash":             {patch("sha256", "x"), "sha256 of its patch is not"},
		"upper case":          {patch("sha256", strings.Repeat("0B", 32)), "sha256 of its patch is not"},
		"no base":             {patch("from_sha256", nil), `its patch has no "from_sha256"`},
		"a base that is none": {patch("from_sha256", "../x"), "from_sha256 of its patch is not"},
		"no size":             {patch("size", 0), "its patch has 0 bytes, the image 1400000"},
		"less than nothing":   {patch("size", -1), "its patch has -1 bytes"},
		"as large":            {patch("size", 1_400_000), "its patch has 1400000 bytes"},
		"half a byte":         {patch("size", 0.5), `"size" of its patch cannot be read`},
	} {
		c, bad := keeping(&memory{body: encode(t, with("patch", tt.patch))}, 1)
		got, ok, err := c.Check(t.Context(), running)
		if err != nil || !ok || got.Patch != (update.Patch{}) || got.SHA256 == "" {
			t.Errorf("%s: got %+v, %v, %v", name, got, ok, err)
		}
		if len(*bad) != 1 || !strings.Contains((*bad)[0].Error(), tt.want) {
			t.Errorf("%s: told %v, want %s", name, *bad, tt.want)
		}
	}
}
