package config

import (
	"crypto/elliptic"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTrust(t *testing.T) {
	for _, tt := range []struct{ section, want string }{
		{"{threshold: 2, revoked: []}", ""},
		{"{threshold: 16, revoked: [/etc/r, '/etc/*.revoked']}", ""},
		{"{threshold: 0}", "trust.threshold: 0 is out of range: want 1 to 16"},
		{"{threshold: 17}", "trust.threshold: 17 is out of range: want 1 to 16"},
		{"{threshold: two}", "trust.threshold: want a whole number without quotes"},
		{"{revoked: [list]}", `trust.revoked: "list": want an absolute path`},
		{"{revoked: ['/etc/[.x']}", `trust.revoked: "/etc/[.x" is no pattern`},
		{"{revoked: /etc/list}", "trust.revoked: want a list"},
	} {
		_, err := Parse("agent.yaml", []byte(least+"trust: "+tt.section+"\n"))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.section, err, tt.want)
		}
	}
}

func TestBaseFromFiles(t *testing.T) {
	dir := t.TempDir()
	a := put(t, dir, "a.der", publicDER(t, newKey(t, elliptic.P256())))
	put(t, dir, "one.revoked", []byte("00000000000000aa # stolen\n"))
	put(t, dir, "two.revoked", []byte("# nothing yet\n"))
	c := trusting(a)
	c.Trust.Threshold = 2
	c.Trust.Revoked = []string{filepath.Join(dir, "*.revoked"), filepath.Join(dir, "*.none")}
	b, err := c.Base()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Files) != 1 || b.Files[0].Name != a || len(b.Files[0].Keys) != 1 || b.Threshold != 2 {
		t.Errorf("%+v", b)
	}
	if len(b.Lists) != 2 || !slices.Equal(b.Lists[0].IDs, []string{"00000000000000aa"}) || len(b.Lists[1].IDs) != 0 {
		t.Errorf("lists %+v", b.Lists)
	}
}

func TestWrongRevocationListsAreNamed(t *testing.T) {
	dir := t.TempDir()
	good := put(t, dir, "good.der", publicDER(t, newKey(t, elliptic.P256())))
	for name, tt := range map[string]struct{ path, want string }{
		"missing":  {filepath.Join(dir, "none"), "there is no such revocation list: put it there or take it out of trust.revoked"},
		"folder":   {dir, "is no regular file"},
		"words":    {put(t, dir, "words", []byte("00000000000000aa\nthe other one\n")), `words: keyring refused (keyring_malformed): line 2: "the other one" is no key id`},
		"too long": {put(t, dir, "long", make([]byte, 1<<20)), "more than 65536 bytes"},
	} {
		c := trusting(good)
		c.Trust.Revoked = []string{tt.path}
		if _, err := c.Base(); !errors.Is(err, ErrKeys) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", name, err, tt.want)
		}
	}
	c := trusting(filepath.Join(dir, "none.der"))
	if _, err := c.Base(); !errors.Is(err, ErrKeys) {
		t.Errorf("no key: %v", err)
	}
}
