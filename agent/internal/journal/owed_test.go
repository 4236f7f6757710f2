package journal

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// ids are the jobs of a history.
func ids(t *testing.T, j *Journal) (out []string) {
	t.Helper()
	all, err := j.History(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		out = append(out, r.JobID)
	}
	return out
}

func settle(t *testing.T, j *Journal) {
	t.Helper()
	if left, err := j.Settle(); left != 0 || err != nil {
		t.Fatalf("%d left, %v", left, err)
	}
}

// The agent dies between two writes, wherever that is: the record is there in
// the end, once.
func TestARecordIsWrittenOnceWhereverTheAgentDies(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, j *Journal){
		"before the record": func(*testing.T, *Journal) {},
		"before the record is forgotten": func(t *testing.T, j *Journal) {
			before := content(t, j.memoryFile())
			settle(t, j)
			put(t, j.memoryFile(), before)
		},
		"in the middle of its line": func(t *testing.T, j *Journal) {
			before := content(t, j.memoryFile())
			settle(t, j)
			put(t, j.memoryFile(), before)
			whole := content(t, j.historyFile())
			put(t, j.historyFile(), whole[:len(whole)-5])
		},
		"after all": func(t *testing.T, j *Journal) { settle(t, j) },
	} {
		t.Run(name, func(t *testing.T) {
			j := loaded(t, t.TempDir())
			if err := j.Save(update.New(), record("a")); err != nil {
				t.Fatal(err)
			}
			settle(t, j)
			if err := j.Save(update.New(), record("b")); err != nil {
				t.Fatal(err)
			}
			die(t, j)
			for range 3 {
				j = loaded(t, j.dir)
				settle(t, j)
				if got := ids(t, j); !slices.Equal(got, []string{"a", "b"}) {
					t.Fatalf("the history holds %v", got)
				}
				if a, err := j.Verify(); err != nil || a.Records != 2 {
					t.Fatalf("%+v, %v", a, err)
				}
			}
		})
	}
}

// One job may have two ends: confirmed, and rolled back later.
func TestBothEndsOfAJobAreWritten(t *testing.T) {
	j := loaded(t, t.TempDir())
	r := record("a")
	for _, r.Outcome = range []update.State{update.Confirmed, update.Confirmed, update.RolledBack, update.Confirmed, update.RolledBack} {
		if err := j.Save(update.New(), r); err != nil {
			t.Fatal(err)
		}
		settle(t, j)
	}
	if got := ids(t, j); len(got) != 2 {
		t.Errorf("the history holds %v", got)
	}
}

// A history that cannot be written is written later, in order, also after a
// restart; what does not fit in the meantime is given up and told.
func TestAHistoryThatCannotBeWritten(t *testing.T) {
	j := loaded(t, t.TempDir())
	if err := os.Mkdir(j.historyFile(), 0o700); err != nil { // a folder where the file should be
		t.Fatal(err)
	}
	var want []string
	for i := range maxOwed {
		id := fmt.Sprintf("job-%d", i)
		want = append(want, id)
		if err := j.Save(update.New(), record(id)); err != nil {
			t.Fatal(err)
		}
		if left, err := j.Settle(); left != i+1 || err == nil {
			t.Fatalf("%d left, %v", left, err)
		}
	}
	if err := j.Save(update.New(), record("one more")); err != nil {
		t.Fatal(err)
	}
	if left, err := j.Settle(); left != maxOwed || err == nil || !strings.Contains(err.Error(), "1 older records had to be given up") {
		t.Errorf("%d left, %v", left, err)
	}
	if err := os.Remove(j.historyFile()); err != nil {
		t.Fatal(err)
	}
	j = loaded(t, j.dir)
	settle(t, j)
	if got := ids(t, j); !slices.Equal(got, append(want[1:], "one more")) {
		t.Errorf("the history holds %v", got)
	}
	if a, err := j.Verify(); err != nil || a.Records != maxOwed {
		t.Errorf("%+v, %v", a, err)
	}
}
