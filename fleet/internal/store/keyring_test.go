package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
)

// A server that runs sees what another process puts there, and a document that
// is refused changes nothing.
func TestKeyrings(t *testing.T) {
	dir := t.TempDir()
	server, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := server.Keyrings(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	var before []int
	take := func(have []keyring.Document) error { before = append(before, len(have)); return nil }
	three, four := keyringtest.Any(3), keyringtest.Any(4)
	for i, d := range []keyring.Document{three, four, four} { // the last one twice
		if err := other.AddKeyring(t.Context(), d, take); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if all, err := server.Keyrings(t.Context()); err != nil || len(all) != min(i+1, 2) || all[len(all)-1].Digest() != d.Digest() {
				t.Errorf("%d documents, %v", len(all), err)
			}
		}
	}
	if !slices.Equal(before, []int{0, 1, 2}) {
		t.Errorf("before it there were %v", before)
	}
	file := filepath.Join(dir, "keyrings.json")
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	for name, err := range map[string]error{
		"refused":    other.AddKeyring(t.Context(), keyringtest.Any(5), func([]keyring.Document) error { return no }),
		"an old one": other.AddKeyring(t.Context(), keyringtest.Any(2), take),
		"older":      other.AddKeyring(t.Context(), three, take),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, have) {
		t.Errorf("a refused document changes what is there: %v", err)
	}

	for name, damage := range map[string]string{
		"cut": string(have[:50]), "another schema": `{"schema":2,"documents":[]}`, "another field": `{"schema":1,"documents":[],"x":1}`,
		"no document": `{"schema":1,"documents":[{}]}`, "too large": strings.Repeat(" ", maxKeyrings+1),
		"twice": fmt.Sprintf(`{"schema":1,"documents":[%s,%s]}`, three.Encode(), three.Encode()),
	} {
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Keyrings(t.Context()); err == nil || !strings.Contains(err.Error(), "keyrings.json cannot be used") {
			t.Errorf("%s: %v", name, err)
		}
		if err := other.AddKeyring(t.Context(), keyringtest.Any(9), take); err == nil {
			t.Errorf("%s: it is replaced, though its versions are not known", name)
		}
	}
}
