package updateserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/delta/deltatest"
)

// wire is a line to a server that counts what comes from it.
type wire struct {
	address *url.URL
	came    atomic.Int64
}

func newWire(t *testing.T, to *url.URL) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: &url.URL{Scheme: "https", Host: l.Addr().String()}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { w.carry(c, to.Host) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return w
}

// Write counts.
func (w *wire) Write(b []byte) (int, error) {
	w.came.Add(int64(len(b)))
	return len(b), nil
}

func (w *wire) carry(robot net.Conn, to string) {
	defer robot.Close() //nolint:errcheck // it is over
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(server, robot); _ = server.Close() })
	_, _ = io.Copy(robot, io.TeeReader(server, w))
	_ = robot.Close()
	wg.Wait()
}

// robot is an agent's way from a check to a verified image.
type robot struct {
	t      *testing.T
	f      *realFleet
	wire   *wire
	server *updateserver.Client
	images *fetch.Client
	dir    string
	log    bytes.Buffer
}

func (f *realFleet) newRobot(dir string, patches bool) *robot {
	f.t.Helper()
	r := &robot{t: f.t, f: f, wire: newWire(f.t, f.address), dir: dir}
	guard, err := httpguard.New(httpguard.Config{Server: r.wire.address, CAFile: f.file("tls/ca.pem"), TokenFile: f.file("token")})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(guard.CloseIdleConnections)
	r.images, err = fetch.New(fetch.Config{Dir: dir, Keys: func() image.Keyring { return f.keys }, Patches: patches}, guard, slog.New(slog.NewTextHandler(&r.log, nil)))
	if err != nil {
		f.t.Fatal(err)
	}
	r.server = updateserver.New(updateserver.Config{
		URL: r.wire.address, RobotID: "robot-001", SKU: "standard", Companion: compat.Version{Minor: 2}, Kept: r.images.Kept,
	}, guard)
	return r
}

// update asks, fetches and verifies, and gives the bytes that came over the wire.
func (r *robot) update(running string) (update.Offer, update.Fetched, int64) {
	r.t.Helper()
	v, err := compat.ParseVersion(running)
	if err != nil {
		r.t.Fatal(err)
	}
	before := r.wire.came.Load()
	o, ok, err := r.server.Check(r.t.Context(), v)
	if err != nil || !ok {
		r.t.Fatalf("%v, %v", ok, err)
	}
	got, err := r.images.Fetch(r.t.Context(), o, func(int64, int64) {})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.images.Verify(r.t.Context(), got.SHA256, image.Policy{Chip: image.ESP32S3, SKU: "standard", Version: o.Version}); err != nil {
		r.t.Fatal(err)
	}
	return o, got, r.wire.came.Load() - before
}

// copied is a store as another one is now.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(filepath.Join(to, "d"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(to, "d")
}

// From one release to the next over TLS: the patch comes, and a few percent of the
// bytes; whatever is wrong with it, the whole image comes.
func TestPatchFromTheRealServer(t *testing.T) {
	app := func(version string, grown int) []byte {
		return deltatest.App(deltatest.Spec{Version: version, Functions: 1000, Grown: grown})
	}
	f := newFleet(t)
	f.publish(app("0.2.0", 0))
	f.serve()
	first := f.newRobot(filepath.Join(t.TempDir(), "d"), true)
	if o, got, _ := first.update("0.1.0"); got.Patched || o.Patch.URL != "" {
		t.Fatalf("the first image: %+v, %+v", o, got)
	}
	signed, said := f.publish(app("0.2.1", 20))
	if !strings.Contains(said, "patch standard-0.2.0 → 0.2.1: ") {
		t.Fatalf("publish said %s", said)
	}
	size := int64(len(signed))

	_, whole, wholeBytes := f.newRobot(copied(t, first.dir), false).update("0.2.0")
	o, by, patchBytes := f.newRobot(copied(t, first.dir), true).update("0.2.0")
	switch {
	case whole.Patched || whole.Downloaded != size || wholeBytes < size:
		t.Errorf("without patches: %+v, %d bytes of %d", whole, wholeBytes, size)
	case !by.Patched || by.Downloaded != o.Patch.Size || by.SHA256 != whole.SHA256:
		t.Errorf("with patches: %+v, offered %+v", by, o.Patch)
	case patchBytes > size*15/100:
		t.Errorf("%d bytes came, the image has %d", patchBytes, size)
	}
	t.Logf("over the wire, TLS and headers included: %d bytes without a patch, %d with one", wholeBytes, patchBytes)

	// The server's file is damaged, then gone.
	var list struct{ Patches []struct{ SHA256 string } }
	if err := json.Unmarshal([]byte(f.run(f.file("ota-fleet"), "patches", "--data", f.file("data"), "--json")), &list); err != nil || len(list.Patches) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	file := f.file(filepath.Join("data", "artifacts", list.Patches[0].SHA256))
	for name, spoil := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(file, bytes.Repeat([]byte{7}, int(o.Patch.Size)), 0o600) },
		"cut":     func() error { return os.Truncate(file, 100) },
		"gone":    func() error { return os.Rename(file, file+".away") },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		r := f.newRobot(copied(t, first.dir), true)
		if o, got, _ := r.update("0.2.0"); o.Patch.URL == "" || got.Patched || got.SHA256 != whole.SHA256 || !strings.Contains(r.log.String(), "the whole image is downloaded") {
			t.Errorf("%s: %+v, %s", name, got, r.log.String())
		}
		if name == "gone" {
			if err := os.Rename(file+".away", file); err != nil {
				t.Fatal(err)
			}
		}
	}

	// Called back: it is offered no more, and neither is its patch.
	f.run(f.file("ota-fleet"), "withdraw", "--data", f.file("data"), "--reason", "it bites", "standard-0.2.1")
	if _, ok, err := f.newRobot(copied(t, first.dir), true).server.Check(t.Context(), compat.Version{Minor: 2}); ok || err != nil {
		t.Errorf("after it was withdrawn: %v, %v", ok, err)
	}
}
