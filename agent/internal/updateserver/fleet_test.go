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

// startFleet builds the real update server, publishes 0.2.1 there and starts
// it. It gives its address, its authority's file and the signing key.
func startFleet(t *testing.T) (address *url.URL, ca, token string, keys image.Keyring) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := image.Sign(imagetest.App(imagetest.Options{Version: "0.2.1", Body: make([]byte, 500_000)}), key)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(file("pub.der"), pub.DER(), 0o600), os.WriteFile(file("signed.bin"), signed, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"go", "build", "-o", file("ota-fleet"), "github.com/robot-platform/robot-ota/fleet/cmd/ota-fleet"},
		{file("ota-fleet"), "dev-cert", "--dir", file("tls")},
		{file("ota-fleet"), "publish", "--stable", "--data", file("data"), "--sku", "standard", "--key", file("pub.der"), file("signed.bin")},
		{file("ota-fleet"), "robot", "add", "--data", file("data"), "--sku", "standard", "--file", file("token"), "robot-001"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	cmd := exec.Command(file("ota-fleet"), "serve", "--data", file("data"), "--listen", "127.0.0.1:0",
		"--tls-cert", file("tls/server.pem"), "--tls-key", file("tls/server-key.pem"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address, err = url.Parse(strings.TrimSpace(strings.TrimPrefix(line, "listening on ")))
	if err != nil {
		t.Fatal(err)
	}
	return address, file("tls/ca.pem"), file("token"), image.NewKeyring(pub)
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
