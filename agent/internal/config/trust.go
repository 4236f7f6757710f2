package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Trust is whose signatures count.
type Trust struct {
	Keys      []string `yaml:"keys"`      // files, globs allowed; PEM or DER, ECDSA P-256
	Revoked   []string `yaml:"revoked"`   // files, globs allowed; ids of keys, one a line
	Threshold int      `yaml:"threshold"` // trusted keys that must sign a keyring document, 1-16
}

func defaultTrust() Trust {
	return Trust{
		Keys:      []string{"/etc/robot-ota/keys/*.der", "/etc/robot-ota/keys/*.pem"},
		Revoked:   []string{"/etc/robot-ota/keys/*.revoked"},
		Threshold: 1,
	}
}

func (v validator) trust(t Trust) {
	if len(t.Keys) == 0 {
		v.wrong("trust.keys", "is empty: no image could ever be trusted. Name the files of the public keys that sign your firmware")
	}
	v.patterns("trust.keys", t.Keys)
	v.patterns("trust.revoked", t.Revoked)
	between(v, "trust.threshold", t.Threshold, 1, keyring.MaxSignatures, "")
}

func (v validator) patterns(key string, patterns []string) {
	for _, p := range patterns {
		v.absolute(key, p)
		if _, err := filepath.Match(p, ""); err != nil {
			v.wrong(key, "%q is no pattern: %v", clip(p), err)
		}
	}
}

// Base reads all that the configuration says of whose signatures count: public
// keys and revocation lists. One bad file spoils all: see Keyring, and a list
// that cannot be read must not revoke less than its writer believes. Errors
// wrap ErrKeys and name the file.
func (c Config) Base() (keyring.Base, error) {
	_, files, err := c.Keyring()
	if err != nil {
		return keyring.Base{}, err
	}
	b := keyring.Base{Threshold: c.Trust.Threshold}
	for _, f := range files {
		b.Files = append(b.Files, keyring.Source{Name: f.Path, Keys: f.Keys})
	}
	lists, err := resolve(c.Trust.Revoked)
	if err != nil {
		return keyring.Base{}, err
	}
	for _, path := range lists {
		ids, err := readRevoked(path)
		if err != nil {
			return keyring.Base{}, err
		}
		b.Lists = append(b.Lists, keyring.List{Name: path, IDs: ids})
	}
	return b, nil
}

func readRevoked(path string) ([]string, error) {
	b, err := readKeyFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s: there is no such revocation list: put it there or take it out of trust.revoked", ErrKeys, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %s: this user may not read it: ids of revoked keys are no secret, chmod 0644 %s", ErrKeys, path, path)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	ids, err := keyring.ParseRevoked(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeys, path, err)
	}
	return ids, nil
}
