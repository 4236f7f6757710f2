// Package deploy_test tries the example configurations against the programs
// that they are for, and the real ota-fleet behind them. A test whose program
// this machine lacks says so and is left out.
package deploy_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// program is the path of a program, or the end of the test.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, n := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(n); err == nil {
			return path
		}
	}
	t.Skipf("no %s on this machine: apt-get install %s", name, debian)
	return ""
}

// run executes a command that has to succeed, and gives what it said.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out.Bytes())
	}
	return out.String()
}

// process starts a program that the end of the test ends, and waits until it
// listens at all addresses.
func process(t testing.TB, addresses []string, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-done
		if t.Failed() {
			t.Logf("%s:\n%s", name, out.Bytes())
		}
	})
	for _, address := range addresses {
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", address); err == nil {
				c.Close()
				break
			}
			select {
			case <-done:
				t.Fatalf("%s ended", name)
			default:
			}
			if time.Now().After(end) {
				t.Fatalf("%s does not listen at %s", name, address)
			}
		}
	}
}

// adapted writes an example with other paths and ports, which all have to
// stand in it, and gives the file.
func adapted(t testing.TB, example, to string, changes map[string]string) string {
	t.Helper()
	b, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for from, into := range changes {
		pattern := regexp.MustCompile(`(?m)` + from)
		if !pattern.MatchString(text) {
			t.Fatalf("%s has no %s", example, from)
		}
		text = pattern.ReplaceAllString(text, into)
	}
	if left := regexp.MustCompile(`(?m)^[^#\n]*\s/(etc|var)/.*$`).FindString(text); left != "" {
		t.Fatalf("%s: a path of the machine is left: %s", example, left)
	}
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// fleet is the real ota-fleet with its data.
type fleet struct {
	dir, program, address string
}

// newFleet builds ota-fleet, makes certificates for a server, a broker and the
// robots r1 and r2, and publishes an image.
func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{dir: t.TempDir()}
	f.program = f.file("ota-fleet")
	run(t, "go", "build", "-o", f.program, "../cmd/ota-fleet")
	run(t, f.program, "dev-cert", "--dir", f.file("tls"), "--robot", "r1,r2", "--broker", "127.0.0.1")
	for _, robot := range []string{"r1", "r2"} {
		run(t, f.program, "robot", "add", "--data", f.file("data"), "--sku", "standard", "--file", f.file(robot+".token"), robot)
	}
	return f
}

func (f *fleet) file(name string) string { return filepath.Join(f.dir, name) }

func (f *fleet) token(t testing.TB, robot string) string {
	t.Helper()
	b, err := os.ReadFile(f.file(robot + ".token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// serve starts the server.
func (f *fleet) serve(t testing.TB, options ...string) {
	t.Helper()
	f.address = freePort(t)
	process(t, []string{f.address}, f.program, append([]string{"serve", "--data", f.file("data"), "--tls-cert", f.file("tls/server.pem"),
		"--tls-key", f.file("tls/server-key.pem"), "--client-ca", f.file("tls/ca.pem"), "--listen", f.address}, options...)...)
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
