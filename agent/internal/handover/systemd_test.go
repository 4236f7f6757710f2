package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// privateBus starts a D-Bus daemon of this test's own and makes it the
// system's bus for this process.
func privateBus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	address := "unix:path=" + filepath.Join(dir, "bus")
	err := os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>`+address+`</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/><allow receive_type="signal"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/></policy>
</busconfig>`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("no dbus-daemon: `apt-get install dbus-daemon`")
	}
	cmd := exec.Command(daemon, "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("dbus-daemon does not start")
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	return address
}

// manager plays org.freedesktop.systemd1 with one unit.
type manager struct {
	conn *dbus.Conn

	mu     sync.Mutex
	load   string
	active string
	calls  []string
	result []string // of the next jobs; then "done"
	denied bool
	silent bool // jobs never end
}

const systemd1 = "/org/freedesktop/systemd1"

func startManager(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m := &manager{conn: conn, load: "loaded", active: "active"}
	if err := errors.Join(
		conn.Export(m, systemd1, "org.freedesktop.systemd1.Manager"),
		conn.ExportSubtree(properties{m}, systemd1+"/unit", "org.freedesktop.DBus.Properties"),
	); err != nil {
		t.Fatal(err)
	}
	if r, err := conn.RequestName("org.freedesktop.systemd1", 0); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(r, err)
	}
	return m
}

func (m *manager) StartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	return m.job("start", name, mode, "active")
}

func (m *manager) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	return m.job("stop", name, mode, "inactive")
}

func (m *manager) ResetFailedUnit(name string) *dbus.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, "reset-failed "+name)
	return nil
}

func (m *manager) job(verb, name, mode, then string) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, strings.Join([]string{verb, name, mode}, " "))
	if m.denied {
		return "", dbus.NewError("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", []any{"Interactive authentication required."})
	}
	id := uint32(len(m.calls))
	path := dbus.ObjectPath(fmt.Sprintf("%s/job/%d", systemd1, id))
	result := "done"
	if len(m.result) > 0 {
		result, m.result = m.result[0], m.result[1:]
	}
	if result == "done" {
		m.active = then
	}
	if !m.silent {
		_ = m.conn.Emit(systemd1, "org.freedesktop.systemd1.Manager.JobRemoved", id, path, name, result)
	}
	return path, nil
}

// properties answers for the unit.
type properties struct{ *manager }

func (p properties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch name {
	case "LoadState":
		return dbus.MakeVariant(p.load), nil
	case "UnitFileState":
		return dbus.MakeVariant("enabled"), nil
	}
	return dbus.MakeVariant(p.active), nil
}

// GetAll answers for what services alone have.
func (p properties) GetAll(string) (map[string]dbus.Variant, *dbus.Error) {
	return map[string]dbus.Variant{"Result": dbus.MakeVariant("watchdog"), "NRestarts": dbus.MakeVariant(uint32(3)),
		"WatchdogUSec": dbus.MakeVariant(uint64(120_000_000))}, nil
}

func TestService(t *testing.T) {
	m := startManager(t, privateBus(t))
	want := Service{Load: "loaded", Active: "active", Result: "watchdog", Enabled: "enabled", Restarts: 3, Watchdog: 2 * time.Minute}
	if got, err := (Bus{}).Service(t.Context(), uros); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	m.mu.Lock()
	m.load = "not-found"
	m.mu.Unlock()
	if got, err := (Bus{}).Service(t.Context(), uros); err != nil || got.Load != "not-found" || got.Restarts != 0 {
		t.Errorf("no such unit: %+v, %v", got, err)
	}
}

func TestBus(t *testing.T) {
	m := startManager(t, privateBus(t))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	expect := func(want string) {
		t.Helper()
		if s, err := (Bus{}).State(ctx, uros); s != want || err != nil {
			t.Errorf("State = %q, %v, want %s", s, err, want)
		}
	}
	expect("active")
	if err := (Bus{}).Stop(ctx, uros); err != nil {
		t.Error(err)
	}
	expect("inactive")
	m.mu.Lock()
	m.result = []string{"failed"}
	m.mu.Unlock()
	if err := (Bus{}).Start(ctx, uros); err != nil {
		t.Error(err)
	}
	expect("active")
	want := []string{"stop " + uros + " replace", "start " + uros + " replace", "reset-failed " + uros, "start " + uros + " replace"}
	m.mu.Lock()
	if !slices.Equal(m.calls, want) {
		t.Errorf("calls %q, want %q", m.calls, want)
	}
	m.mu.Unlock()
}

func TestBusRefusals(t *testing.T) {
	m := startManager(t, privateBus(t))
	set := func(f func()) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.load, m.denied, m.silent, m.result = "loaded", false, false, nil
		f()
	}
	set(func() { m.load = "not-found" })
	if _, err := (Bus{}).State(t.Context(), uros); !errors.Is(err, ErrNoUnit) || !strings.Contains(fmt.Sprint(err), "systemctl list-units") {
		t.Errorf("no such unit: %v", err)
	}
	set(func() { m.denied = true })
	for _, f := range []func(context.Context, string) error{Bus{}.Stop, Bus{}.Start} {
		if err := f(t.Context(), uros); !errors.Is(err, ErrDenied) || !strings.Contains(fmt.Sprint(err), "polkit rule") {
			t.Errorf("denied: %v", err)
		}
	}
	set(func() { m.result = []string{"failed", "failed"} })
	if err := (Bus{}).Start(t.Context(), uros); err == nil || !strings.Contains(err.Error(), `ended as "failed": `+"`journalctl -u "+uros) {
		t.Errorf("failed: %v", err)
	}
	set(func() { m.silent = true })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := (Bus{}).Stop(ctx, uros); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a job that does not end: %v", err)
	}
}

func TestBusThatIsNotThere(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
	_, err := Bus{}.State(t.Context(), uros)
	if err == nil || !strings.Contains(err.Error(), "else set microros.stop and .start") {
		t.Errorf("State = %v", err)
	}
}
