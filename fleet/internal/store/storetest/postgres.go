package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is the test binary's PostgreSQL.
type server struct {
	dir  string
	bin  string
	as   *syscall.Credential
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// running is the one server of a test binary, as testing has no place for what
// lives longer than a test.
var running struct {
	sync.Mutex
	*server
	err   error
	names int
}

var errNone = errors.New("no PostgreSQL is installed (apt-get install postgresql)")

// database makes an empty schema, which is made faster than a database, and
// gives its address.
func database(t testing.TB) string {
	t.Helper()
	running.Lock()
	defer running.Unlock()
	if running.server == nil && running.err == nil {
		running.server, running.err = startServer()
	}
	switch {
	case errors.Is(running.err, errNone):
		t.Skip(running.err)
	case running.err != nil:
		t.Fatal(running.err)
	}
	running.names++
	name := fmt.Sprintf("fleet_%d", running.names)
	if err := running.create(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return running.address() + "&search_path=" + name
}

func (s *server) address() string { return "postgres://fleet@/postgres?host=" + s.dir }

func (s *server) create(ctx context.Context, name string) error {
	c, err := pgx.Connect(ctx, s.address())
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, "CREATE SCHEMA "+name)
	return errors.Join(err, c.Close(ctx))
}

// Stop ends PostgreSQL, where it was started. Main does so.
func Stop() {
	running.Lock()
	defer running.Unlock()
	if s := running.server; s != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // nothing of it is kept
		<-s.done
		_ = os.RemoveAll(s.dir)
		running.server = nil
	}
}

func startServer() (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &server{bin: bin, done: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("/tmp", "fleet-pg-"); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w\n%s", errors.Join(err, os.RemoveAll(s.dir)), s.log.String())
	}
	return s, nil
}

// programs is the folder of initdb and postgres.
func programs() (string, error) {
	if dir := os.Getenv("ROBOT_OTA_POSTGRES"); dir != "" {
		_, err := os.Stat(filepath.Join(dir, "postgres"))
		return dir, err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errNone
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

func (s *server) start() error {
	if os.Geteuid() == 0 {
		if err := s.lower(); err != nil {
			return err
		}
	}
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(context.Background(), filepath.Join(s.bin, "initdb"), "--pgdata", data, "--username=fleet", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.Dir, initdb.Stdout, initdb.Stderr = s.dir, &s.log, &s.log
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	if err := initdb.Run(); err != nil {
		return err
	}
	// What a power cut would do to it is of no interest here.
	s.cmd = exec.CommandContext(context.Background(), filepath.Join(s.bin, "postgres"), "-D", data, "-k", s.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, &s.log, &s.log
	// A test binary that is killed takes it along.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGQUIT}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for Pdeathsig, the thread that starts it is its parent
		defer close(s.done)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	return s.ready()
}

// lower gives the folder to an unprivileged user, who is to run the server.
func (s *server) lower() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

// ready waits until the server answers.
func (s *server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.address())
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-s.done:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
