package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	tufmetadata "github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

// makeMetadata writes a fleet's keys and root documents: the first, a second
// with another online key, and one that a single root key signed.
func makeMetadata(dir string) error {
	r := tuftest.New(time.Now())
	thief := r.Clone()
	var errs []error
	private := func(name string, k *ecdsa.PrivateKey) {
		der, err := x509.MarshalECPrivateKey(k)
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
	}
	private("targets.pem", r.Targets)
	private("online.pem", r.Online)
	r.Online = tuftest.Key()
	private("online-2.pem", r.Online)
	r.Rotate(time.Now(), 0, 1)
	thief.Rotate(time.Now(), 2)
	anew := r.Clone()
	anew.Root = []*ecdsa.PrivateKey{tuftest.Key(), tuftest.Key()}
	anew.Rotate(time.Now(), 0, 1)
	for name, b := range map[string][]byte{"3.root.json": anew.Documents["3.root.json"], "1.root.json": r.First(), "2.root.json": r.Documents["2.root.json"], "evil.json": thief.Documents["2.root.json"]} {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return errors.Join(errs...)
}

// tufsign KEY DOCUMENT signs as ota-sign tuf does.
func tufsign() {
	pemKey, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(pemKey)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	b, err := os.ReadFile(os.Args[2])
	if err == nil {
		b, err = tuf.Sign(b, key)
	}
	if err == nil {
		err = os.WriteFile(os.Args[2], b, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// reference is go-tuf's own client, which knows nothing of this project.
func (l *lab) reference(t *testing.T, root []byte) *updater.Updater {
	t.Helper()
	cfg, err := config.New(l.url+"/v1/tuf/", root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := fetcher.NewDefaultFetcher()
	f.SetHTTPClient(l.client(t))
	cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.Fetcher, cfg.PrefixTargetsWithHash = dir, dir, f, false
	u, err := updater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// What this server hands out is TUF as others understand it.
func TestReferenceClient(t *testing.T) {
	t.Parallel()
	l := prepare(t)
	if err := makeMetadata(l.dir); err != nil {
		t.Fatal(err)
	}
	l.do(t, "metadata", "import", "--data", l.file("data"), l.file("1.root.json"), l.file("2.root.json"))
	l.serve(t, "--identity", "optional", "--online-key", l.file("online-2.pem"), "--targets-key", l.file("targets.pem"))
	root, err := os.ReadFile(l.file("1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	u := l.reference(t, root)
	if err := u.Refresh(); err != nil {
		t.Fatal(err)
	}
	info, err := u.GetTargetInfo("standard-0.2.0.bin")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(l.file("0.2.0.bin"))
	if err != nil || info.VerifyLengthHashes(want) != nil {
		t.Errorf("%+v, %v", info, err)
	}
	var custom struct{ SKU, Version, Status string }
	if info.Custom == nil || json.Unmarshal(*info.Custom, &custom) != nil || custom.SKU != "standard" || custom.Version != "0.2.0" || custom.Status != "listed" {
		t.Errorf("custom %+v", custom)
	}
	if u.GetTrustedMetadataSet().Root.Signed.Version != 2 {
		t.Errorf("root %d", u.GetTrustedMetadataSet().Root.Signed.Version)
	}
	// Published beside the running server: listed within seconds.
	l.do(t, "publish", "--stable", "--data", l.file("data"), "--sku", "standard", "--key", l.file("pub.der"), l.file("0.2.1.bin"))
	deadline := time.Now().Add(time.Minute)
	for {
		u := l.reference(t, root)
		if err := u.Refresh(); err != nil {
			t.Fatal(err)
		}
		if _, err := u.GetTargetInfo("standard-0.2.1.bin"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is not listed")
		}
		time.Sleep(100 * time.Millisecond)
	}
	// In half a year nothing of it counts.
	late := l.reference(t, root)
	late.UnsafeSetRefTime(time.Now().Add(180 * 24 * time.Hour))
	var expired *tufmetadata.ErrExpiredMetadata
	if err := late.Refresh(); !errors.As(err, &expired) {
		t.Errorf("in half a year: %v", err)
	}
}
