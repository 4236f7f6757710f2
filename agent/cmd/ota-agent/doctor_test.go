package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/doctor"
)

// silence is the address of a server that takes connections and says nothing.
func silence(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, h := range held {
					h.Close()
				}
				return
			}
			held = append(held, c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

// TestDoctorInterrupted: what is known is told, and the end comes at once.
func TestDoctorInterrupted(t *testing.T) {
	path := configured(t, "server: {url: \"https://"+silence(t)+"\"}\nstate_dir: "+filepath.Join(t.TempDir(), "state")+"\n")
	for _, form := range []string{"text", "json"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		args := []string{"doctor", "--config", path, "--socket", "/none", "--only", "config,server"}
		if form == "json" {
			args = append(args, "--json")
		}
		var out, errs bytes.Buffer
		began := time.Now()
		code := Main(ctx, args, streams{strings.NewReader(""), &out, &errs})
		if took := time.Since(began); code != exitDetached || took > 5*time.Second || errs.Len() > 0 {
			t.Errorf("%s: exit code %d after %s, %s", form, code, took, &errs)
		}
		if form == "text" {
			if !strings.Contains(out.String(), "has no faults") || !strings.Contains(out.String(), "skipped server   interrupted\n") {
				t.Errorf("got\n%s", &out)
			}
			continue
		}
		var r doctor.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.OK != 1 || r.Skipped != 1 || r.Level != doctor.OK {
			t.Errorf("%v: %s", err, &out)
		}
	}
}

// TestDoctorShowsWhatItWaitsFor on a terminal.
func TestDoctorShowsWhatItWaitsFor(t *testing.T) {
	path := configured(t, "state_dir: "+filepath.Join(t.TempDir(), "state")+"\n")
	got := onTerminal(t, "LANG=C.UTF-8", "doctor", "--config", path, "--socket", "/none", "--only", "config,keys")
	for _, want := range []string{"\r\x1b[K… looking at config, keys", "\x1b[32mOK     \x1b[0m config   ", "\x1b[32m2 ok\x1b[0m"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestChecksCanBeListed: the help and the completion list them without a robot.
func TestChecksCanBeListed(t *testing.T) {
	names := doctor.Names(new(exam).checks(doctorOptions{reset: true}))
	if len(names) != 15 || names[0] != "config" || !slices.Contains(names, "loader") {
		t.Errorf("%v", names)
	}
	for _, c := range new(exam).checks(doctorOptions{}) {
		if c.Alone || c.About == "" || c.Name == "loader" {
			t.Errorf("%+v", c)
		}
	}
}
