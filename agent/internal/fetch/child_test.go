package fetch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
)

// childEnv holds, as JSON, what the test binary is to do as another process.
const childEnv = "FETCH_TEST_CHILD"

type childTask struct {
	Dir, CA string
	Offer   Offer
	Limit   uint64 // of a file's size; 0: none
}

// child downloads, and prints the bytes held after each read.
func child() int {
	var task childTask
	err := json.Unmarshal([]byte(os.Getenv(childEnv)), &task)
	if err == nil && task.Limit > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: task.Limit, Max: task.Limit})
	}
	if err == nil {
		err = childDownload(task)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 3
	}
	return 0
}

func childDownload(task childTask) error {
	u, err := url.Parse(task.Offer.URL)
	if err != nil {
		return err
	}
	guard, err := httpguard.New(httpguard.Config{Server: u, CAFile: task.CA})
	if err != nil {
		return err
	}
	c, err := New(Config{Dir: task.Dir}, guard, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, _, err = c.Download(context.Background(), task.Offer, func(done, _ int64) { fmt.Println(done) })
	return err
}

func (task childTask) command(t *testing.T) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	return cmd
}

// A real process is killed in the middle of a download; the next one goes on
// from the last checkpoint.
func TestKilledAndResumed(t *testing.T) {
	a := content(1_500_000, 1)
	const sent = 1_000_000
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(a)))
		send(w, a[:sent])
		<-r.Context().Done()
	}, full(a, `"a"`))
	task := childTask{Dir: filepath.Join(t.TempDir(), "d"), CA: s.caFile(t), Offer: Offer{URL: s.URL}}
	cmd := task.command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != fmt.Sprint(sent) {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child was not killed: %v", err)
	}

	c := s.client(t, Config{Dir: task.Dir})
	sum, _, err := c.Download(t.Context(), task.Offer, nil)
	if err != nil || sum != hashOf(a) {
		t.Errorf("got %s, %v", sum, err)
	}
	var from int
	if _, err := fmt.Sscanf(s.ranges()[1], `bytes=%d- "a"`, &from); err != nil || from <= sent-checkpointBytes-64<<10 || from > sent {
		t.Errorf("asked for %q after %d bytes", s.ranges()[1], sent)
	}
}

// The kernel itself refuses to let the file grow.
func TestFileSizeLimit(t *testing.T) {
	a := content(600_000, 1)
	s := serve(t, full(a, ""))
	task := childTask{Dir: filepath.Join(t.TempDir(), "d"), CA: s.caFile(t), Offer: Offer{URL: s.URL}, Limit: 300_000}
	out, err := task.command(t).Output()
	if err == nil {
		t.Fatal("it went through")
	}
	last := out[bytes.LastIndex(bytes.TrimSpace(out), []byte("\n"))+1:]
	if got := string(last); !strings.HasPrefix(got, "error: keep the download: not enough disk space in "+task.Dir) || !strings.Contains(got, "make room there (file too large)") {
		t.Errorf("got %s", got)
	}
	if left := names(t, task.Dir); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}
