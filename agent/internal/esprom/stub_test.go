package esprom

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseStub(t *testing.T) {
	const good = `{"entry":1073741828,"text":"AQIDBAUGBwg=","text_start":1073741824,"data":"AAE=","data_start":1069547520,"bss_start":1,"plugins":{}}`
	for _, tc := range []struct{ name, json, err string }{
		{"good", good, ""},
		{"no data segment", `{"entry":1073741824,"text":"AQID","text_start":1073741824}`, ""},
		{"not JSON", `OHAI`, "invalid character"},
		{"not base64", strings.Replace(good, "AQIDBAUGBwg=", "?", 1), "base64"},
		{"no text", `{"entry":5,"text_start":5}`, "segment of 0 bytes"},
		{"no address", `{"entry":0,"text":"AQID","text_start":0}`, "segment at 0x0"},
		{"address at the end", `{"entry":4294967295,"text":"AQID","text_start":4294967295}`, "segment at 0xffffffff"},
		{"negative", `{"entry":-1,"text":"AQID","text_start":5}`, "cannot unmarshal"},
		{"entry before", strings.Replace(good, "1073741828", "1073741823", 1), "outside its code"},
		{"entry behind", strings.Replace(good, "1073741828", "1073741832", 1), "outside its code"},
		{"data without a place", `{"entry":5,"text":"AQID","text_start":5,"data":"AA=="}`, "data without data_start"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			img, err := parseStub([]byte(tc.json))
			if tc.err == "" {
				if err != nil || len(img.segments[0].data) == 0 {
					t.Errorf("got %+v, %v", img, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %v, want …%s…", err, tc.err)
			}
		})
	}
}

func TestLoadStub(t *testing.T) {
	ch := &chip{stub: "x"}
	big := fstest.MapFS{"x.json": {Data: make([]byte, maxStubFile+1)}}
	if _, err := loadStub(big, ch); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too big: %v", err)
	}
	if _, err := loadStub(fstest.MapFS{}, ch); !errors.Is(err, errNoStub) {
		t.Errorf("none: %v", err)
	}
	if _, err := loadStub(nil, &chip{stub: "no-such-chip"}); !errors.Is(err, errNoStub) {
		t.Errorf("none embedded: %v", err)
	}
}

// TestEmbeddedStubs: the set-up has put the stubs of the chips of the table in
// their folder, and they parse.
func TestEmbeddedStubs(t *testing.T) {
	if names, err := fs.Glob(embeddedStubs, "stub/*.json"); err != nil || len(names) == 0 {
		t.Skipf("no stub images in this build; make setup fetches them (%v)", err)
	}
	for i := range chips {
		if _, err := loadStub(nil, &chips[i]); err != nil {
			t.Errorf("%s: %v (stub/README.md says where the images come from)", chips[i].name, err)
		}
	}
}

func FuzzStub(f *testing.F) {
	f.Add([]byte(`{"entry":1073741828,"text":"AQIDBAUGBwg=","text_start":1073741824,"data":"AAE=","data_start":1069547520}`))
	f.Add([]byte(`{"entry":0,"text":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := parseStub(b)
		if err != nil {
			return
		}
		text := img.segments[0]
		if img.entry < text.addr || img.entry >= text.addr+uint32(len(text.data)) {
			t.Fatalf("entry %#x outside of %d bytes at %#x", img.entry, len(text.data), text.addr)
		}
	})
}
