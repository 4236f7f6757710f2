package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestMemorySurvives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	if m, err := j.Load(); err != nil || !reflect.DeepEqual(m, update.New()) {
		t.Fatalf("an empty folder gives %+v, %v", m, err)
	}
	m := update.New()
	m.Held = true
	m.Job = update.Job{ID: "j1", State: update.Writing, Since: time.Now().UTC().Round(0),
		Image: update.Image{Version: compat.Version{Minor: 2, Patch: 1}}, From: update.Installed{Slot: "ota_0"}}
	if err := j.Save(m); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, dir).Load()
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, m)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state directory's mode is %v, %v", info.Mode(), err)
	}
}

func TestDamagedMemoryIsPutAside(t *testing.T) {
	for name, content := range map[string]string{
		"torn":          `{"schema": 1, "job": {"sta`,
		"empty":         "",
		"unknown state": `{"schema":1,"job":{"id":"j","state":"dancing"}}`,
		"huge":          strings.Repeat(" ", maxMemory+1),
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, t.TempDir())
			if err := os.WriteFile(j.memoryFile(), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := j.Load()
			var damaged *DamagedError
			if !errors.As(err, &damaged) {
				t.Fatalf("got %v", err)
			}
			if !m.Held || !m.Loader || m.Job.State != update.Idle {
				t.Errorf("the guess is not careful: %+v", m)
			}
			if kept, err := os.ReadFile(damaged.Path); err != nil || string(kept) != content {
				t.Errorf("what was damaged is lost: %v", err)
			}
		})
	}
}

func TestMemoryOfANewerAgentIsLeftAlone(t *testing.T) {
	j := open(t, t.TempDir())
	content := []byte(`{"schema":99,"job":{"state":"idle"}}`)
	if err := os.WriteFile(j.memoryFile(), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Load(); err == nil || !strings.Contains(err.Error(), "newer agent") {
		t.Fatalf("got %v", err)
	}
	if got, err := os.ReadFile(j.memoryFile()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("it was changed: %s, %v", got, err)
	}
}

// keep writes a record to the history.
func keep(j *Journal, r update.Record) error {
	j.mu.Lock()
	j.owe([]update.Record{r})
	j.mu.Unlock()
	_, err := j.Settle()
	return err
}

func record(id string) update.Record {
	return update.Record{JobID: id, Outcome: update.Confirmed, Evidence: []string{"well"}}
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, id := range []string{"a", "b"} {
		if err := keep(j, record(id)); err != nil {
			t.Fatal(err)
		}
	}
	j = open(t, dir) // the chain goes on over a restart
	if err := keep(j, record("c")); err != nil {
		t.Fatal(err)
	}
	if a, err := j.Verify(); a.Records != 3 || err != nil {
		t.Fatalf("verify: %+v, %v", a, err)
	}
	got, err := j.History(2)
	if err != nil || len(got) != 2 || got[0].JobID != "b" || got[1].JobID != "c" {
		t.Fatalf("the last two are %+v, %v", got, err)
	}
	if all, err := j.History(0); err != nil || len(all) != 3 {
		t.Errorf("all: %d, %v", len(all), err)
	}
}

// A power cut in the middle of an append leaves half a line; the next start
// takes it away, and the chain holds.
func TestATornHistoryIsMended(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := keep(j, record("a")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.historyFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := keep(j, record("b")); err != nil {
		t.Fatal(err)
	}
	both, err := os.ReadFile(j.historyFile())
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole); cut < len(both); cut++ {
		if err := os.WriteFile(j.historyFile(), both[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir)
		if err := keep(again, record("c")); err != nil {
			t.Fatal(err)
		}
		if a, err := again.Verify(); a.Records != 2 || err != nil {
			t.Fatalf("cut at %d of %d: %+v, %v", cut, len(both), a, err)
		}
	}
}

// The last sector of a line may reach the disk, and one before it not.
func TestAHistoryWithHolesIsMended(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, id := range []string{"a", "b"} {
		if err := keep(j, record(id)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(j.historyFile())
	if err != nil {
		t.Fatal(err)
	}
	clear(b[len(b)-20 : len(b)-10])
	if err := os.WriteFile(j.historyFile(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if err := keep(again, record("b")); err != nil {
		t.Fatal(err)
	}
	if a, err := again.Verify(); a.Records != 2 || err != nil {
		t.Fatalf("%+v, %v", a, err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"schema":1,"job":{"state":"idle"}}`))
	f.Add([]byte(`{"schema":1,"job":{"id":"j","state":"rolling_back","from":{"slot":"ota_0"},"to":"ota_1"}}`))
	f.Add([]byte(`{"schema":1,"job":{"state":"idle"},"history":{"records":2,"sha256":"ab"}}`))
	f.Add([]byte(`{"schema":1,"job":{"state":"idle"},"history":{"records":-1,"sha256":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := open(t, t.TempDir())
		if err := os.WriteFile(j.memoryFile(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := j.Load()
		var damaged *DamagedError
		if err != nil && !errors.As(err, &damaged) {
			return
		}
		if err := m.Check(); err != nil {
			t.Fatalf("a memory that makes no sense was handed out: %v", err)
		}
	})
}
