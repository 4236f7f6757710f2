package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publicDER(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func put(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func trusting(patterns ...string) Config {
	c := Default()
	c.Trust.Keys = patterns
	return c
}

func TestKeyringFromPatterns(t *testing.T) {
	dir := t.TempDir()
	one, two := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	a := put(t, dir, "a.der", publicDER(t, one))
	b := put(t, dir, "b.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER(t, two)}))

	ring, files, err := trusting(filepath.Join(dir, "*.der"), filepath.Join(dir, "*.none"), b, a).Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if ids := ring.IDs(); len(ids) != 2 {
		t.Errorf("%d keys, want 2", len(ids))
	}
	if len(files) != 2 || files[0].Path != a || files[1].Path != b || !slices.Equal(files[1].IDs, ring.IDs()[1:]) {
		t.Errorf("files %+v", files)
	}
}

func TestWrongKeyFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	p256 := newKey(t, elliptic.P256())
	private, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	good := put(t, dir, "good.der", publicDER(t, p256))
	for name, tt := range map[string]struct {
		path string
		want string
	}{
		"missing":      {filepath.Join(dir, "none.der"), "there is no such file: put the public key there or take it out of trust.keys"},
		"no match":     {filepath.Join(dir, "x*.der"), "nothing matches"},
		"folder":       {dir, "is no regular file"},
		"garbage":      {put(t, dir, "garbage", []byte("not a key")), "garbage: no ECDSA P-256 public key"},
		"empty":        {put(t, dir, "empty", nil), "empty: no ECDSA P-256 public key"},
		"other curve":  {put(t, dir, "p384", publicDER(t, newKey(t, elliptic.P384()))), "p384: no ECDSA P-256 public key"},
		"private":      {put(t, dir, "private", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})), "private key belongs on the build server"},
		"far too long": {put(t, dir, "long", make([]byte, 1<<20)), "long: no ECDSA P-256 public key"},
	} {
		t.Run(name, func(t *testing.T) {
			patterns := []string{tt.path, good}
			if name == "no match" {
				patterns = patterns[:1]
			}
			_, _, err := trusting(patterns...).Keyring()
			if !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), filepath.Base(tt.path)) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}
