package dtlslink

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hexKey = "30313233343536373839616263646566"

func TestLoadKey(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		identity   string
		want       string // of the error
	}{
		{"key alone", hexKey + "\n", 0o600, "", ""},
		{"with identity", "robot_01020304:" + hexKey, 0o600, "robot_01020304", ""},
		{"read-only", hexKey, 0o400, "", ""},
		{"group may read", hexKey, 0o640, "", "mode is 0640"},
		{"all may read", hexKey, 0o604, "", "chmod 600"},
		{"executable", hexKey, 0o700, "", "mode is 0700"},
		{"short", hexKey[:30], 0o600, "", "want a key of 16 bytes"},
		{"long", hexKey + "00", 0o600, "", "want a key of 16 bytes"},
		{"no hex", strings.Repeat("x", 32), 0o600, "", "want a key of 16 bytes"},
		{"empty identity", ":" + hexKey, 0o600, "", "want an identity"},
		{"endless", strings.Repeat("0", 4096), 0o600, "", "more than 512 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "psk")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			id, key, err := LoadKey(path)
			if tt.want == "" {
				if err != nil || id != tt.identity || string(key) != "0123456789abcdef" {
					t.Errorf("%q, %q, %v", id, key, err)
				}
				return
			}
			if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), tt.text[:min(8, len(tt.text))]) && len(tt.text) > 8 {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
	if _, _, err := LoadKey(t.TempDir()); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := LoadKey("/nowhere/psk"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(hexKey))
	f.Add([]byte("robot_01020304:" + hexKey + "\n"))
	f.Add([]byte(":"))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, key, err := parseKey(text)
		if err == nil && (len(key) != KeySize || len(id) > maxIdentity) {
			t.Fatalf("%q: %q, %d bytes", text, id, len(key))
		}
	})
}
