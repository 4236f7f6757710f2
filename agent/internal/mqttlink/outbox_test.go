package mqttlink

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

func openedOutbox(t *testing.T, path string) *outbox {
	t.Helper()
	o, err := openOutbox(disk.Disk{}, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.close() })
	return o
}

func add(t *testing.T, o *outbox, kind string, n int) {
	t.Helper()
	for i := range n {
		if err := o.add(Event{Kind: kind, JobID: fmt.Sprint("job-", i), To: update.Idle}); err != nil {
			t.Fatal(err)
		}
	}
}

// drain reads what is left to be sent, in order.
func drain(t *testing.T, o *outbox) (events []Event) {
	t.Helper()
	for {
		e, ok := o.first()
		if !ok {
			return events
		}
		events = append(events, e)
		if err := o.done(e.Seq); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutboxSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.jsonl")
	o := openedOutbox(t, path)
	add(t, o, KindTransition, 5)
	e, _ := o.first()
	if err := o.done(e.Seq); err != nil {
		t.Fatal(err)
	}
	// No close: the process dies, and its last line is half written.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"event":{"id":"x`)
	f.Close()
	for range 2 {
		o = openedOutbox(t, path)
		if o.len() != 4 || o.latest().ID != "job-4" {
			t.Fatalf("%d events, latest %+v", o.len(), o.latest())
		}
	}
	add(t, o, KindTransition, 1)
	got := drain(t, o)
	seen := map[string]bool{}
	for i, e := range got {
		if e.Seq != uint64(i+2) || seen[e.ID] || !strings.HasSuffix(e.ID, fmt.Sprint("-", e.Seq)) || e.Lost != 0 {
			t.Errorf("event %d: %+v", i, e)
		}
		seen[e.ID] = true
	}
	if len(got) != 5 {
		t.Errorf("%d events", len(got))
	}
	o = openedOutbox(t, path)
	if add(t, o, KindTransition, 1); drain(t, o)[0].Seq != 7 {
		t.Error("the numbers began anew")
	}
}

func TestOutboxIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.jsonl")
	o := openedOutbox(t, path)
	add(t, o, KindTransition, 10)
	add(t, o, KindCommand, maxVerdicts+7) // a flood of bad commands pushes out the oldest of its own alone
	if o.len() != 10+maxVerdicts {
		t.Fatalf("%d events", o.len())
	}
	add(t, o, KindTransition, maxEvents)
	o = openedOutbox(t, path)
	got := drain(t, o)
	if len(got) != maxEvents || got[0].Kind != KindTransition {
		t.Errorf("%d events, the first %+v", len(got), got[0])
	}
	if want := uint64(10 + maxVerdicts + 7); got[0].Lost != want || got[0].Seq != want+1 {
		t.Errorf("lost %d, seq %d, want %d lost", got[0].Lost, got[0].Seq, want)
	}
}

func TestOutboxFileStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.jsonl")
	o := openedOutbox(t, path)
	big := Event{Kind: KindTransition, Text: strings.Repeat("x", 100<<10)}
	for range 100 {
		if err := o.add(big); err != nil {
			t.Fatal(err)
		}
		drain(t, o)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > compactAt+(200<<10) {
		t.Errorf("%v %v", info.Size(), err)
	}
}

func TestDamagedFilesArePutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "outbox.jsonl")
	if err := os.WriteFile(path, []byte("{\"event\":7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := openOutbox(disk.Disk{}, path)
	if err == nil || !strings.Contains(err.Error(), "put aside") {
		t.Fatal(err)
	}
	defer o.close()
	add(t, o, KindTransition, 1)
	if again := openedOutbox(t, path); again.len() != 1 {
		t.Errorf("%d events", again.len())
	}
	path = filepath.Join(dir, "commands.json")
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openSeen(disk.Disk{}, path)
	if err == nil {
		t.Fatal("a damaged memory of commands is passed over")
	}
	if err := s.add(known{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if s, err = openSeen(disk.Disk{}, path); err != nil || len(s.list) != 1 {
		t.Error(err)
	}
	for _, name := range []string{"outbox.jsonl", "commands.json"} {
		if _, err := os.Stat(filepath.Join(dir, name+".damaged")); err != nil {
			t.Error(err)
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "commands.json")
	s, err := openSeen(disk.Disk{}, path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxSeen + 5 {
		if err := s.add(known{Key: fmt.Sprint(i), Job: fmt.Sprint("job-", i), At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = openSeen(disk.Disk{}, path); err != nil || len(s.list) != maxSeen {
		t.Fatal(err, len(s.list))
	}
	if k, ok := s.find(fmt.Sprint(maxSeen + 4)); !ok || k.Job != fmt.Sprint("job-", maxSeen+4) {
		t.Errorf("%+v", k)
	}
	if _, ok := s.find("4"); ok {
		t.Error("the oldest is remembered for ever")
	}
}

func FuzzOutbox(f *testing.F) {
	f.Add([]byte("{\"head\":{\"epoch\":\"e\",\"next\":3,\"lost\":1}}\n{\"event\":{\"seq\":3}}\n{\"done\":3}\n"))
	f.Add([]byte("{}\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := &outbox{}
		if o.replay(data) == nil && len(o.events) > maxEvents {
			t.Fatal(len(o.events))
		}
	})
}
