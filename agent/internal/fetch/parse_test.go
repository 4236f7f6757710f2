package fetch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseContentRange(t *testing.T) {
	for s, want := range map[string]contentRange{
		"bytes 0-9/10":   {0, 9, 10},
		"bytes 5-5/6":    {5, 5, 6},
		"BYTES 0-9/*":    {0, 9, unknown},
		"bytes */100":    {unknown, unknown, 100},
		"bytes 0-0/4096": {0, 0, 4096},
	} {
		if got, err := parseContentRange(s); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "bytes", "bytes 0-9", "0-9/10", "bytes 0-9/", "bytes -9/10", "bytes 0-/10", "bytes 9-0/10", "bytes 0-10/10",
		"bytes */*", "bytes=0-9/10", "items 0-9/10", "bytes +1-9/10", "bytes 0x0-9/10", "bytes 0-9/10 ", "bytes 0 - 9/10",
		"bytes 0-9/10/10", "bytes 0-4611686018427387904/*", "bytes 0-99999999999999999999/*", "bytes 0-9,20-29/100",
	} {
		if got, err := parseContentRange(s); !errors.Is(err, errContentRange) {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 0-9/*", "bytes */10", "bytes 9-0/10", "bytes 0-4611686018427387904/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseContentRange(s)
		if err != nil {
			return
		}
		if r.first != unknown && (r.first < 0 || r.last < r.first || r.last+1 <= 0 || r.total != unknown && r.last >= r.total) {
			t.Errorf("%q: %+v", s, r)
		}
		if r.first == unknown && (r.last != unknown || r.total < 0) {
			t.Errorf("%q: %+v", s, r)
		}
	})
}

func goodMeta() meta {
	return meta{
		Schema: metaSchema, URL: "https://a.example/x", ETag: `"a"`, SHA256: strings.Repeat("0a", 32),
		Size: 100, Held: 50, Prefix: strings.Repeat("0b", 32),
	}
}

func TestParseMeta(t *testing.T) {
	b, err := json.Marshal(goodMeta())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseMeta(b); err != nil || got != goodMeta() {
		t.Errorf("got %+v, %v", got, err)
	}
	for i, change := range []func(*meta){
		func(m *meta) { m.Schema++ },
		func(m *meta) { m.URL = "" },
		func(m *meta) { m.ETag = `W/"a"` },
		func(m *meta) { m.ETag = "a\r\nX: y" },
		func(m *meta) { m.SHA256 = "../x" },
		func(m *meta) { m.Size = 0 },
		func(m *meta) { m.Held = -1 },
		func(m *meta) { m.Held = 101 },
		func(m *meta) { m.Prefix = "" },
	} {
		m := goodMeta()
		change(&m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseMeta(b); !errors.Is(err, errMeta) {
			t.Errorf("%d: got %+v, %v", i, got, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	b, err := json.Marshal(goodMeta())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"schema":1,"held":9223372036854775807,"size":9223372036854775807}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if m.Held < 0 || m.Held > m.Size || strings.ContainsAny(m.ETag, "\r\n") || !isSHA256(m.Prefix) {
			t.Errorf("%s: %+v", b, m)
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxMeta { // escapes may lengthen it
			return
		}
		if got, err := parseMeta(again); err != nil || got != m {
			t.Errorf("%s reads back as %+v, %v", again, got, err)
		}
	})
}

func TestHuman(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 3 << 19: "1.5 MiB"} {
		if got := human(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := fmt.Sprint(&GaveUpError{Tries: 2, Cause: errors.New("x")}); got != "gave up after 2 tries and 0s without progress: x" {
		t.Error(got)
	}
}
