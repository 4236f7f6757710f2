package updateserver_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/fetch"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

// realFleet is the real update server, with a robot robot-001.
type realFleet struct {
	t       *testing.T
	dir     string
	signer  *ecdsa.PrivateKey
	address *url.URL
	keys    image.Keyring
}

func (f *realFleet) file(name string) string { return filepath.Join(f.dir, name) }

func (f *realFleet) run(args ...string) string {
	f.t.Helper()
	out, err := exec.CommandContext(f.t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		f.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// newFleet builds it, with nothing published.
func newFleet(t *testing.T) *realFleet {
	t.Helper()
	f := &realFleet{t: t, dir: t.TempDir()}
	var err error
	if f.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&f.signer.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	f.keys = image.NewKeyring(pub)
	if err := os.WriteFile(f.file("pub.der"), pub.DER(), 0o600); err != nil {
		t.Fatal(err)
	}
	f.run("go", "build", "-o", f.file("ota-fleet"), "github.com/robot-platform/robot-ota/fleet/cmd/ota-fleet")
	f.run(f.file("ota-fleet"), "dev-cert", "--dir", f.file("tls"))
	return f
}

// publish makes an app image a stable release of standard, and gives the signed file
// and what was said.
func (f *realFleet) publish(app []byte, options ...string) (signed []byte, said string) {
	f.t.Helper()
	signed, err := image.Sign(app, f.signer)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.file("signed.bin"), signed, 0o600); err != nil {
		f.t.Fatal(err)
	}
	args := append([]string{f.file("ota-fleet"), "publish", "--stable", "--data", f.file("data"), "--sku", "standard", "--key", f.file("pub.der"), f.file("signed.bin")}, options...)
	return signed, f.run(args...)
}

// serve registers the robot and starts the server.
func (f *realFleet) serve() {
	f.t.Helper()
	f.run(f.file("ota-fleet"), "robot", "add", "--data", f.file("data"), "--sku", "standard", "--file", f.file("token"), "robot-001")
	cmd := exec.Command(f.file("ota-fleet"), "serve", "--data", f.file("data"), "--listen", "127.0.0.1:0",
		"--tls-cert", f.file("tls/server.pem"), "--tls-key", f.file("tls/server-key.pem"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	if f.address, err = url.Parse(strings.TrimSpace(strings.TrimPrefix(line, "listening on "))); err != nil {
		f.t.Fatal(err)
	}
}

// startFleet has 0.2.1 published. It gives its address, its authority's file, the
// robot's token and the keys.
func startFleet(t *testing.T) (address *url.URL, ca, token string, keys image.Keyring) {
	t.Helper()
	f := newFleet(t)
	f.publish(imagetest.App(imagetest.Options{Version: "0.2.1", Body: make([]byte, 500_000)}))
	f.serve()
	return f.address, f.file("tls/ca.pem"), f.file("token"), f.keys
}

// Robot and server agree: from the question to the verified image.
func TestAgainstTheRealServer(t *testing.T) {
	address, ca, token, keys := startFleet(t)
	guard, err := httpguard.New(httpguard.Config{Server: address, CAFile: ca, TokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	defer guard.CloseIdleConnections()
	server := updateserver.New(updateserver.Config{URL: address, RobotID: "robot-001", SKU: "standard", Companion: compat.Version{Minor: 2}}, guard)
	images, err := fetch.New(fetch.Config{Dir: filepath.Join(t.TempDir(), "downloads"), Keys: func() image.Keyring { return keys }}, guard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	offer, ok, err := server.Check(t.Context(), compat.Version{Minor: 2})
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	sum, _, err := images.Download(t.Context(), offer, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := images.Verify(t.Context(), sum, image.Policy{Chip: image.ESP32S3, SKU: "standard", Version: offer.Version})
	if err != nil || v.Version() != offer.Version {
		t.Errorf("%v, %v", v.Version(), err)
	}
	if _, ok, err := server.Check(t.Context(), v.Version()); ok || err != nil {
		t.Errorf("once it runs: %v, %v", ok, err)
	}
	// Nobody, and another robot, get nothing.
	stranger, err := httpguard.New(httpguard.Config{Server: address, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.CloseIdleConnections()
	for robot, http := range map[string]*httpguard.Client{"robot-001": stranger, "robot-002": guard} {
		_, _, err := updateserver.New(updateserver.Config{URL: address, RobotID: robot, SKU: "standard"}, http).Check(t.Context(), compat.Version{Minor: 2})
		var status *httpguard.StatusError
		if !errors.As(err, &status) || status.Status != 401 && status.Status != 403 {
			t.Errorf("%s: %v", robot, err)
		}
	}
	other := updateserver.New(updateserver.Config{URL: address, RobotID: "robot-001", SKU: "deluxe"}, guard)
	_, _, err = other.Check(t.Context(), v.Version())
	want := `ask the update server: ` + address.Host + ` answered 404 Not Found: unknown sku "deluxe": want one of basic, industrial, standard`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
