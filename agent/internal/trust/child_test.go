package trust

import (
	"encoding/base64"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// childEnv says what the test binary is to do as another process: the folder,
// the configured key, the document, and at which write to die.
const childEnv = "TRUST_TEST_CHILD"

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		os.Exit(child(strings.Fields(task)))
	}
	os.Exit(m.Run())
}

// deadly kills this process before the last of so many renames.
type deadly struct {
	disk.Layer
	left int
}

func (d *deadly) Rename(from, to string) error {
	if d.left--; d.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return d.Layer.Rename(from, to)
}

// child takes a document and dies by SIGKILL in the middle of a write: all of
// it is written aside, and not renamed yet.
func child(task []string) int {
	der, err := base64.StdEncoding.DecodeString(task[1])
	if err != nil {
		return 2
	}
	keys, err := image.ParseKeys(der)
	if err != nil {
		return 2
	}
	document, err := base64.StdEncoding.DecodeString(task[2])
	if err != nil {
		return 2
	}
	die, err := strconv.Atoi(task[3])
	if err != nil {
		return 2
	}
	s, err := Open(Config{
		Dir: task[0], Base: keyring.Base{Files: []keyring.Source{{Name: "a.der", Keys: keys}}},
		Disk: disk.On(&deadly{Layer: disk.Disk{}, left: die}),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return 2
	}
	if _, err := s.Update(document, "child"); err != nil {
		return 3
	}
	return 0
}

// An agent is killed in the middle of each of its writes. The next one has the
// ring of before or of after, and takes the document where it was lost.
func TestKilledInTheMiddleOfAWrite(t *testing.T) {
	for die, want := range map[int]uint64{1: 1, 2: 2, 3: 2} {
		s := newSite(t)
		must(t, s.open(), s.document(1, 0, 1))
		task := []string{s.dir, base64.StdEncoding.EncodeToString(s.signers[0].Public.DER()), base64.StdEncoding.EncodeToString(s.document(2, 0, 1, 0)), strconv.Itoa(die)}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(task, " "))
		err := cmd.Run()
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if killed := ok && status.Signaled(); killed != (die <= 2) || !killed && err != nil {
			t.Fatalf("write %d: %v", die, err)
		}
		st := s.open()
		if r := st.Report(); r.Version != want || len(r.Warnings()) > 0 {
			t.Errorf("write %d: %+v", die, r)
		}
		if want == 1 {
			s.trusts(st, s.id(0), s.id(1))
			must(t, st, s.document(2, 0, 1, 0))
		}
		s.trusts(st, s.id(1))
		s.trusts(s.open(), s.id(1))
	}
}
