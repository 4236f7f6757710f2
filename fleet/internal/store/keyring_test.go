package store

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

func document(t *testing.T, version uint64) keyring.Document {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := keyring.New(keyring.Content{Version: version, Revoked: []string{"00000000000000aa"}})
	if err == nil {
		d, err = d.Sign(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A server that runs sees what another process puts there, and a document that
// is refused changes nothing.
func TestKeyring(t *testing.T) {
	dir := t.TempDir()
	server, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := server.Keyring(t.Context()); err != nil || !d.IsZero() {
		t.Errorf("%v, %v", d, err)
	}
	var before []uint64
	take := func(have keyring.Document) error { before = append(before, have.Version()); return nil }
	for _, version := range []uint64{3, 4} {
		if err := other.ReplaceKeyring(t.Context(), document(t, version), take); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if d, err := server.Keyring(t.Context()); err != nil || d.Version() != version {
				t.Errorf("%v, %v, want version %d", d.Version(), err, version)
			}
		}
	}
	if len(before) != 2 || before[0] != 0 || before[1] != 3 {
		t.Errorf("before it there was %v", before)
	}
	no := errors.New("no")
	file := filepath.Join(dir, "keyring.json")
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.ReplaceKeyring(t.Context(), document(t, 5), func(keyring.Document) error { return no }); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, have) {
		t.Errorf("a refused document changes the one that is there: %v", err)
	}

	if err := os.WriteFile(file, have[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Keyring(t.Context()); err == nil || !strings.Contains(err.Error(), "keyring.json cannot be used") {
		t.Errorf("damaged: %v", err)
	}
	if err := other.ReplaceKeyring(t.Context(), document(t, 5), take); err == nil {
		t.Error("a damaged document, whose version is not known, is replaced")
	}
}
