package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/keyring/keyringtest"
	"github.com/robot-platform/robot-ota/fleet/internal/store/storetest"
)

// A server that runs sees what another process puts there, and a document that
// is refused changes nothing.
func TestKeyrings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		server, other := env.Open(t), env.Open(t)
		var before []int
		take := func(have []keyring.Document) error { before = append(before, len(have)); return nil }
		three, four := keyringtest.Any(3), keyringtest.Any(4)
		for i, d := range []keyring.Document{three, four, four} { // the last one twice
			if err := other.AddKeyring(t.Context(), d, take); err != nil {
				t.Fatal(err)
			}
			if all, err := server.Keyrings(t.Context()); err != nil || len(all) != min(i+1, 2) || all[len(all)-1].Digest() != d.Digest() {
				t.Errorf("%d documents, %v", len(all), err)
			}
		}
		if !slices.Equal(before, []int{0, 1, 2}) {
			t.Errorf("before it there were %v", before)
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
		if all := must(server.Keyrings(t.Context())); len(all) != 2 {
			t.Errorf("a refused document changes what is there: %d", len(all))
		}
	})
}

// What robots trust is what may be published, and what they revoke is hidden.
func TestKeyringChangesTheKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, env storetest.Env) {
		s := env.Open(t)
		know(t, s, key)
		fresh := keyringtest.Signers(1)[0]
		d := keyringtest.Document(keyring.Content{Version: 1, Keys: []image.Key{fresh.Public}, Revoked: []string{key.ID}, Comment: "it was stolen"}, fresh)
		if err := s.AddKeyring(t.Context(), d, func([]keyring.Document) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if ids := must(s.Trusted(t.Context())).IDs(); !slices.Equal(ids, []string{fresh.ID()}) {
			t.Errorf("trusted: %v", ids)
		}
		if k := must(s.Key(t.Context(), key.ID)); k.By != "keyring 1" || k.Reason != "it was stolen" {
			t.Errorf("got %+v", k)
		}
	})
}
