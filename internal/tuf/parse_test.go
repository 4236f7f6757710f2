package tuf_test

import (
	"crypto/ecdsa"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

type key = ecdsa.PrivateKey

// Documents that even their signers could get wrong, or would with a stolen
// key: none is used, and none ends the program.
func TestMalformed(t *testing.T) {
	r := tuftest.New(noon, tuftest.File("0.2.0", "a"))
	for _, tt := range []struct {
		name, old, new, want string
	}{
		{"timestamp.json", `"snapshot.json": {`, `"other.json": {`, "snapshot.json"},
		{"timestamp.json", `"_type": "timestamp"`, `"_type": "snapshot"`, "expected metadata type"},
		{"timestamp.json", `"version": 1`, `"version": 0`, "version 0 of snapshot is none"},
		{"timestamp.json", `"version": 1`, `"version": 1e3`, "1e3 is no whole number"},
		{"timestamp.json", `"spec_version": "1.`, `"spec_version": "2.`, "specification"},
		{"timestamp.json", `"sha256": "`, `"sha512": "`, "SHA-256"},
		{"timestamp.json", `{`, `[`, ""},
		{"1.snapshot.json", `"targets.json": {`, `"targets.json": null, "x": {`, "null"},
		{"1.targets.json", `"status": "listed"`, `"status": "perhaps"`, "status"},
		{"1.targets.json", `"sku": "standard"`, `"sku": "../x"`, "sku and release"},
		{"1.targets.json", `"sku": "standard"`, `"sku": "standard", "sku": "basic"`, "twice"},
		{"1.targets.json", `"standard-0.2.0.bin": {`, `"standard-0.2.1.bin": {`, "it is of the release"},
		{"1.targets.json", `"expires"`, `"eXpires"`, "want expires"},
		{"1.targets.json", `"targets": {`, `"files": {`, "no list of files"},
		{"1.targets.json", `"length": 1400000`, `"length": 1`, "cannot be a signed image's size"},
		{"1.targets.json", `"version": "0.2.0"`, `"version": ""`, "version"},
		{"1.targets.json", `"targets": {`, `"targets": {"x": null, `, "null"},
		{"1.targets.json", `"targets": {`, `"targets": {"x": {"length": 1, "hashes": {}}, `, "hashes must not be empty"},
		{"1.targets.json", `"custom": {`, `"x": {`, "custom"},
		{"1.targets.json", `"targets": {`, `"y": ` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `, "targets": {`, "nested too deeply"},
		{"1.root.json", `"threshold": 2`, `"threshold": 4`, "a threshold of 4"},
		{"1.root.json", `"threshold": 2`, `"threshold": 0`, "a threshold of 0"},
		{"1.root.json", `"keyids": [`, `"keyids": ["00", `, "missing"},
		{"1.root.json", `"keytype": "ecdsa"`, `"keytype": "ed25519"`, "want ECDSA P-256"},
		{"1.root.json", `"keys": {`, `"keys": {"00": null, `, "null"},
		{"1.root.json", `"keyval"`, `"x": 1, "keyval"`, "the name of another key"},
		{"1.root.json", `"consistent_snapshot": true`, `"consistent_snapshot": false`, "consistent_snapshot"},
		{"1.root.json", `"timestamp": {`, `"mirrors": {`, "timestamp"},
	} {
		b := string(r.Documents[tt.name])
		bad := strings.Replace(b, tt.old, tt.new, 1)
		if bad == b {
			t.Fatalf("%s has no %s", tt.name, tt.old)
		}
		refuses(t, tt.name+" "+tt.new, parse(tt.name, []byte(bad)), tuf.Malformed, tt.want)
		if err := parse(tt.name, []byte(b)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// parse reads a document as who asked for that name does.
func parse(name string, b []byte) error {
	_, role, versioned := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
	if !versioned {
		role = "timestamp"
	}
	var err error
	switch tuf.Role(role) {
	case tuf.RoleRoot:
		_, err = tuf.ParseRoot(b)
	case tuf.RoleTargets:
		_, err = tuf.ParseTargets(b)
	case tuf.RoleSnapshot:
		_, err = tuf.ParseSnapshot(b)
	case tuf.RoleTimestamp:
		_, err = tuf.ParseTimestamp(b)
	}
	return err
}

// What is parsed is in its bounds, can be signed, and says the same afterwards.
func FuzzDocument(f *testing.F) {
	r := tuftest.New(noon, tuftest.File("0.2.0", "a"))
	for _, b := range r.Documents {
		f.Add(b)
	}
	f.Add([]byte(`{"signed":{"_type":"root","keys":{"x":null},"roles":{"root":null}},"signatures":[]}`))
	stranger := tuftest.Key()
	f.Fuzz(func(t *testing.T, b []byte) {
		role, err := tuf.RoleOf(b)
		if err != nil {
			return
		}
		if parse("1."+string(role)+".json", b) != nil {
			return
		}
		_, err = tuf.Load(tuf.Held{Root: r.First(), Timestamp: b, Snapshot: b, Targets: b}, noon)
		if err == nil {
			t.Error("one document took the place of all")
		}
		if role != tuf.RoleRoot && role != tuf.RoleTargets {
			return
		}
		signed, err := tuf.Sign(b, stranger)
		if err != nil {
			return // no canonical form
		}
		if err := parse("1."+string(role)+".json", signed); err != nil {
			t.Errorf("signed it cannot be read: %v", err)
		}
	})
}
