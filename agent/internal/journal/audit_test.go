package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// written is a journal with a memory and these records.
func written(t *testing.T, ids ...string) *Journal {
	t.Helper()
	j := open(t, t.TempDir())
	if err := j.Save(update.New()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := keep(j, record(id)); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// put is what somebody else writes.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loaded opens a journal as the agent does at its start.
func loaded(t *testing.T, dir string) *Journal {
	t.Helper()
	j := open(t, dir)
	m, err := j.Load()
	if err == nil {
		err = j.Save(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestAChangedHistoryIsFound(t *testing.T) {
	lines := func(b []byte) [][]byte { return bytes.SplitAfter(b, []byte("\n")) }
	tests := map[string]struct {
		change func([]byte) []byte
		line   int
		reason string
		// running: only the agent that wrote the history can tell.
		running bool
	}{
		"a word changed":          {change: func(b []byte) []byte { return bytes.Replace(b, []byte(`"b"`), []byte(`"x"`), 1) }, line: 3, reason: "does not follow from line 2"},
		"a word of the last line": {change: func(b []byte) []byte { return bytes.Replace(b, []byte(`"c"`), []byte(`"x"`), 1) }, line: 3, reason: "is not the one that the agent wrote there"},
		"a line gone":             {change: func(b []byte) []byte { return bytes.Join([][]byte{lines(b)[0], lines(b)[2]}, nil) }, line: 2, reason: "does not follow from line 1"},
		"first gone":              {change: func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }, line: 1, reason: "is not the first"},
		"last gone":               {change: func(b []byte) []byte { return bytes.Join(lines(b)[:2], nil) }, line: 3, reason: "the agent wrote 3 records, and 2 are there"},
		"all gone":                {change: func([]byte) []byte { return nil }, line: 1, reason: "the agent wrote 3 records, and 0 are there"},
		"cut within a line":       {change: func(b []byte) []byte { return b[:len(b)-5] }, line: 3, reason: "the agent wrote 3 records, and 2 are there"},
		"last written anew": {change: func(b []byte) []byte {
			return append(bytes.Join(lines(b)[:2], nil), []byte(`{"before":"`+digest(lines(b)[1][:len(lines(b)[1])-1])+`","record":{"job_id":"forged"}}`+"\n")...)
		}, line: 3, reason: "is not the one that the agent wrote there"},
		"junk after it":      {change: func(b []byte) []byte { return append(b, "junk\n"...) }, line: 4, reason: "is no record"},
		"an endless line":    {change: func(b []byte) []byte { return append(append(b, bytes.Repeat([]byte("x"), 3*maxLine)...), '\n') }, line: 4, reason: "is no record"},
		"a line from others": {change: func(b []byte) []byte { return append(b, next(b)...) }, line: 4, reason: "was not written by the agent", running: true},
		"half a line":        {change: func(b []byte) []byte { return append(b, `{"bef`...) }, line: 4, reason: "was not written by the agent", running: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j := written(t, "a", "b", "c")
			put(t, j.historyFile(), tt.change(content(t, j.historyFile())))
			seen, live := j.Verify()
			_, outside := Look(j.dir).Verify()
			if seen.Line != tt.line || !strings.Contains(seen.Wrong, tt.reason) {
				t.Errorf("the audit does not tell: %+v", seen)
			}
			for who, err := range map[string]error{"the agent": live, "a look from outside": outside} {
				if tt.running && who != "the agent" {
					if err != nil {
						t.Errorf("a crash leaves this too: %v", err)
					}
					continue
				}
				var bad *TamperedError
				if !errors.As(err, &bad) || !errors.Is(err, ErrTampered) || bad.Line != tt.line || !strings.Contains(bad.Reason, tt.reason) {
					t.Errorf("%s: got %v, want line %d %s", who, err, tt.line, tt.reason)
				}
			}
		})
	}
}

// next is a record that follows from b, as anybody could write one.
func next(b []byte) []byte {
	all := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	return []byte(`{"before":"` + digest(all[len(all)-1]) + `","record":{"job_id":"forged"}}` + "\n")
}

// What was cut off stays missed: over restarts, and when records come after it.
func TestACutHistoryStaysFound(t *testing.T) {
	j := written(t, "a", "b", "c")
	whole := content(t, j.historyFile())
	put(t, j.historyFile(), whole[:bytes.IndexByte(whole, '\n')+1])
	for _, id := range []string{"later", "still later", "much later"} {
		j = loaded(t, j.dir)
		if err := keep(j, record(id)); err != nil {
			t.Fatal(err)
		}
		_, live := j.Verify()
		_, outside := Look(j.dir).Verify()
		if !errors.Is(live, ErrTampered) || !errors.Is(outside, ErrTampered) {
			t.Fatalf("got %v and %v", live, outside)
		}
	}
	if all, err := j.History(0); err != nil || len(all) != 4 {
		t.Errorf("what is there is worth reading all the same: %v, %v", all, err)
	}
	// Until a person puts it aside.
	if err := os.Rename(j.historyFile(), j.asideHistory()); err != nil {
		t.Fatal(err)
	}
	if a, err := Look(j.dir).Verify(); err != nil || a.Aside != j.asideHistory() {
		t.Errorf("put aside: %+v, %v", a, err)
	}
	j = loaded(t, j.dir)
	if err := keep(j, record("anew")); err != nil {
		t.Fatal(err)
	}
	if a, err := loaded(t, j.dir).Verify(); err != nil || a.Records != 1 || *a.Counted != 1 || a.Aside == "" {
		t.Errorf("begun anew: %+v, %v", a, err)
	}
}

// A power cut may come between the record and the head, and lose or tear what
// was not synced: none of that is tampering, now or later.
func TestACrashIsNoTampering(t *testing.T) {
	j := written(t, "a", "b")
	before := content(t, j.memoryFile())
	whole := content(t, j.historyFile())
	if err := keep(j, record("c")); err != nil {
		t.Fatal(err)
	}
	both := content(t, j.historyFile())
	for _, cut := range []int{len(whole), len(whole) + 1, (len(whole) + len(both)) / 2, len(both) - 2, len(both) - 1, len(both)} {
		put(t, j.memoryFile(), before)
		put(t, j.historyFile(), both[:cut])
		want, torn := 2, cut > len(whole) && cut < len(both)
		if cut == len(both) {
			want = 3
		}
		if a, err := Look(j.dir).Verify(); err != nil || a.Records != want || *a.Counted != 2 || a.Torn != torn {
			t.Fatalf("cut at %d: %+v, %v", cut, a, err)
		}
		again := loaded(t, j.dir)
		if a, err := again.Verify(); err != nil || a.Records != want || *a.Counted != want || a.Torn {
			t.Fatalf("cut at %d, started again: %+v, %v", cut, a, err)
		}
		if err := keep(again, record("d")); err != nil {
			t.Fatal(err)
		}
		if a, err := Look(j.dir).Verify(); err != nil || a.Records != want+1 || *a.Counted != want+1 {
			t.Fatalf("cut at %d, gone on: %+v, %v", cut, a, err)
		}
	}
}

// The disk is so full that the record fits and the head does not, and then the
// power fails.
func TestTheHeadThatWasNotSaved(t *testing.T) {
	j := written(t, "a")
	memory := content(t, j.memoryFile())
	j.memory = nil // no head is written
	for _, id := range []string{"b", "c"} {
		if err := keep(j, record(id)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(memory, content(t, j.memoryFile())) {
		t.Fatal("a head was written")
	}
	if a, err := loaded(t, j.dir).Verify(); err != nil || a.Records != 3 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// The memory of an agent of before holds no head: what is there is taken as it
// is, and counted from now on.
func TestAMemoryWithoutAHead(t *testing.T) {
	j := written(t, "a", "b")
	put(t, j.memoryFile(), []byte(`{"schema":1,"job":{"state":"idle"}}`))
	if a, err := Look(j.dir).Verify(); err != nil || a.Records != 2 || a.Counted != nil {
		t.Errorf("from outside: %+v, %v", a, err)
	}
	j = loaded(t, j.dir)
	if a, err := j.Verify(); err != nil || *a.Counted != 2 {
		t.Errorf("started: %+v, %v", a, err)
	}
	if a, err := Look(j.dir).Verify(); err != nil || *a.Counted != 2 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

func TestALookChangesNothing(t *testing.T) {
	j := written(t, "a", "b")
	torn := append(content(t, j.historyFile()), `{"before":"`...)
	put(t, j.historyFile(), torn)
	put(t, j.memoryFile(), []byte("damaged"))
	v := Look(j.dir)
	if all, err := v.History(1); err != nil || len(all) != 1 || all[0].JobID != "b" {
		t.Errorf("history: %v, %v", all, err)
	}
	if a, err := v.Verify(); err != nil || !a.Torn || a.Records != 2 {
		t.Errorf("verify: %+v, %v", a, err)
	}
	if _, err := v.Memory(); err == nil {
		t.Error("a damaged memory was read")
	}
	if got := v.Damaged(); got != "" {
		t.Errorf("put aside by a look: %s", got)
	}
	if !bytes.Equal(torn, content(t, j.historyFile())) || string(content(t, j.memoryFile())) != "damaged" {
		t.Error("a file was changed")
	}
	none := Look(filepath.Join(j.dir, "none"))
	if a, err := none.Verify(); err != nil || a.Records != 0 {
		t.Errorf("nothing there: %+v, %v", a, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"before":"","record":{"job_id":"a"}}`+"\n"), []byte(`{"schema":1,"job":{"state":"idle"}}`))
	f.Add([]byte(`{"before":"","record":{}}`+"\n"+`{"bef`), []byte(`{"schema":1,"job":{"state":"idle"},"history":{"records":1,"sha256":"00"}}`))
	f.Add([]byte("\n\n"), []byte(`{}`))
	f.Fuzz(func(t *testing.T, history, memory []byte) {
		dir := t.TempDir()
		v := Look(dir)
		put(t, v.historyFile(), history)
		put(t, v.memoryFile(), memory)
		a, err := v.Verify()
		if err != nil && !errors.Is(err, ErrTampered) {
			t.Fatalf("neither sound nor tampered with: %v", err)
		}
		j, jerr := Open(dir)
		if jerr != nil {
			t.Fatal(jerr)
		}
		if _, lerr := j.Load(); errors.As(lerr, new(*NewerError)) {
			return
		}
		if rerr := keep(j, record("z")); rerr != nil {
			t.Fatal(rerr)
		}
		b, berr := v.Verify()
		if (err == nil) != (berr == nil) || err == nil && b.Records != a.Records+1 {
			t.Fatalf("before: %+v, %v; one record later: %+v, %v", a, err, b, berr)
		}
	})
}
