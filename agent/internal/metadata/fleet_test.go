package metadata_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/metadata"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// fleet is the real update server and the real signer, as their owner uses them.
type fleet struct {
	*testing.T
	dir, address string
	serving      *exec.Cmd
}

func (f *fleet) file(name string) string { return filepath.Join(f.dir, name) }

func (f *fleet) do(args ...string) {
	f.Helper()
	if out, err := exec.CommandContext(f.Context(), f.file(args[0]), args[1:]...).CombinedOutput(); err != nil {
		f.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{T: t, dir: t.TempDir()}
	for _, cmd := range []string{"fleet/cmd/ota-fleet", "firmware/cmd/ota-sign"} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", f.dir+"/", "github.com/robot-platform/robot-ota/"+cmd).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, name := range []string{"image", "a", "b", "c", "targets", "online", "online2"} {
		f.do("ota-sign", "keygen", "--key", f.file(name+"-key.pem"), "--pub", f.file(name))
	}
	f.do("ota-sign", "tuf", "init", "--root", f.file("a.der"), "--root", f.file("b.der"), "--root", f.file("c.der"),
		"--targets", f.file("targets.der"), "--online", f.file("online.der"), "--output", f.file("1.root.json"))
	f.do("ota-sign", "tuf", "sign", "--key", f.file("a-key.pem"), "--key", f.file("b-key.pem"), f.file("1.root.json"))
	f.do("ota-fleet", "dev-cert", "--dir", f.file("tls"))
	f.do("ota-fleet", "metadata", "import", "--data", f.file("data"), f.file("1.root.json"))
	return f
}

// publish makes and publishes a release, and gives its file.
func (f *fleet) publish(version string) update.File {
	f.Helper()
	pemKey, err := os.ReadFile(f.file("image-key.pem"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := image.ParsePrivateKey(pemKey)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := image.Sign(imagetest.App(imagetest.Options{Version: version}), key)
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(f.file(version), signed, 0o600); err != nil {
		f.Fatal(err)
	}
	f.do("ota-fleet", "publish", "--stable", "--data", f.file("data"), "--sku", "standard", "--key", f.file("image.der"), f.file(version))
	v, err := compat.ParseVersion(version)
	if err != nil {
		f.Fatal(err)
	}
	sum := sha256.Sum256(signed)
	return update.File{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(signed)), Version: v}
}

// serve starts the server with an online key, in place of the one before.
func (f *fleet) serve(online string, more ...string) {
	f.Helper()
	if f.serving != nil {
		_ = f.serving.Process.Kill()
		_ = f.serving.Wait()
	}
	listen := "127.0.0.1:0"
	if f.address != "" {
		listen = strings.TrimPrefix(f.address, "https://")
	}
	f.serving = exec.Command(f.file("ota-fleet"), append([]string{"serve", "--data", f.file("data"), "--listen", listen, "--online-key", f.file(online),
		"--tls-cert", f.file("tls/server.pem"), "--tls-key", f.file("tls/server-key.pem")}, more...)...)
	out, err := f.serving.StdoutPipe()
	if err != nil {
		f.Fatal(err)
	}
	if err := f.serving.Start(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = f.serving.Process.Kill(); _ = f.serving.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		f.Fatal(err)
	}
	f.address = strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

// robot is an agent's client of it, with a clock of its own.
func (f *fleet) robot(state string, now func() time.Time) *metadata.Client {
	f.Helper()
	server, err := url.Parse(f.address)
	if err != nil {
		f.Fatal(err)
	}
	guard, err := httpguard.New(httpguard.Config{Server: server, CAFile: f.file("tls/ca.pem")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(guard.CloseIdleConnections)
	root, err := os.ReadFile(f.file("1.root.json"))
	if err != nil {
		f.Fatal(err)
	}
	c, err := metadata.New(metadata.Config{Dir: f.file(state), Root: root, URL: server.JoinPath("v1", "tuf"), SKU: "standard", Now: now}, guard, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// eventually asks until the server has signed what was done beside it.
func (f *fleet) eventually(what string, ask func() error) {
	f.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			f.Fatalf("%s: %v", what, err)
		}
	}
}

// asks has a robot ask for what is new, and then for a file.
func (f *fleet) asks(robot *metadata.Client, file update.File) error {
	if err := robot.Renew(f.Context()); err != nil {
		return err
	}
	return robot.Vouch(file)
}

func code(err error) tuf.Code {
	var r *tuf.Refused
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// From the root keys to the robot, over TLS: published, listed, withdrawn; held
// back; a stolen online key, and the rotation after it.
func TestAgainstTheRealServer(t *testing.T) {
	f := newFleet(t)
	old := f.publish("0.2.0")
	f.serve("online-key.pem", "--targets-key", f.file("targets-key.pem"))
	late := time.Duration(0)
	now := func() time.Time { return time.Now().Add(late) }
	robot := f.robot("state", now)
	if err := f.asks(robot, old); err != nil {
		t.Fatal(err)
	}
	fresh := f.publish("0.2.1")
	f.eventually("0.2.1 is listed", func() error { return f.asks(robot, fresh) })
	f.do("ota-fleet", "withdraw", "--data", f.file("data"), "--reason", "bad", "standard-0.2.0")
	f.eventually("0.2.0 is withdrawn", func() error {
		if err := f.asks(robot, old); code(err) != tuf.Withdrawn {
			return errors.Join(errors.New("it is not"), err)
		}
		return nil
	})
	// Another robot takes up where this one ends; a day and a bit pass.
	robot = f.robot("state", now)
	late = 25 * time.Hour
	if err := f.asks(robot, fresh); code(err) != tuf.Expired || !strings.Contains(err.Error(), "freeze attack") {
		t.Errorf("a day later: %v", err)
	}
	late = 0
	if err := f.asks(robot, fresh); err != nil {
		t.Error(err)
	}
	f.rotate(robot)
	if err := f.asks(robot, fresh); err != nil || robot.Report().Documents[tuf.RoleRoot].Version != 2 {
		t.Errorf("after the rotation: %v, %+v", err, robot.Report())
	}
	// A robot that is new gets there as well.
	if err := f.asks(f.robot("new", now), fresh); err != nil {
		t.Error(err)
	}
}

// rotate takes a stolen online key out of force.
func (f *fleet) rotate(robot *metadata.Client) {
	f.Helper()
	f.do("ota-sign", "tuf", "rotate", "--from", f.file("1.root.json"), "--remove-online", f.file("online.der"), "--add-online", f.file("online2.der"), "--output", f.file("2.root.json"))
	f.do("ota-sign", "tuf", "sign", "--key", f.file("c-key.pem"), f.file("2.root.json"))
	if out, err := exec.CommandContext(f.Context(), f.file("ota-fleet"), "metadata", "import", "--data", f.file("data"), f.file("2.root.json")).CombinedOutput(); err == nil || !strings.Contains(string(out), "got 1, want 2") {
		f.Errorf("one root key of two: %v\n%s", err, out)
	}
	f.do("ota-sign", "tuf", "sign", "--key", f.file("b-key.pem"), f.file("2.root.json"))
	f.do("ota-fleet", "metadata", "import", "--data", f.file("data"), f.file("2.root.json"))
	if err := robot.Renew(f.Context()); code(err) != tuf.TooFew {
		f.Errorf("signed with the old online key: %v", err)
	}
	f.serve("online2-key.pem", "--targets-key", f.file("targets-key.pem"))
}
