package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// maxKeyFile bounds what is read of a key file, in bytes.
const maxKeyFile = 64 << 10

// ErrKeys is wrapped by everything that is wrong with the configured keys.
var ErrKeys = errors.New("trusted keys")

// KeyFile is a file of public keys.
type KeyFile struct {
	Path string
	Keys []image.Key
	IDs  []string // of its keys, see image.Key
}

// Keyring reads the public keys that the configuration trusts. One bad file
// spoils all: an agent that runs with fewer keys than its operator believes
// would refuse good images. Errors wrap ErrKeys and name the file.
func (c Config) Keyring() (image.Keyring, []KeyFile, error) {
	files, err := keyFiles(c.Trust.Keys)
	if err != nil {
		return image.Keyring{}, nil, err
	}
	var all []image.Key
	read := make([]KeyFile, 0, len(files))
	for _, path := range files {
		got, err := readKeys(path)
		if err != nil {
			return image.Keyring{}, nil, err
		}
		f := KeyFile{Path: path, Keys: got}
		for _, k := range got {
			f.IDs = append(f.IDs, k.ID)
		}
		all, read = append(all, got...), append(read, f)
	}
	return image.NewKeyring(all...), read, nil
}

// keyFiles resolves the patterns; they must find something.
func keyFiles(patterns []string) ([]string, error) {
	files, err := resolve(patterns)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%w: nothing matches %q: put the public key that signs your firmware there (on the build server: openssl ec -in ota_signing_key.pem -pubout -outform DER -out ota_pubkey.der)", ErrKeys, patterns)
	}
	return files, err
}

// resolve gives the files of some patterns, sorted. A plain path is one whether
// it exists or not.
func resolve(patterns []string) ([]string, error) {
	var files []string
	for _, p := range patterns {
		if !isPattern(p) {
			files = append(files, p)
			continue
		}
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no pattern: %w", ErrKeys, p, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func isPattern(p string) bool {
	for _, c := range p {
		switch c {
		case '*', '?', '[', '\\':
			return true
		}
	}
	return false
}

func readKeys(path string) ([]image.Key, error) {
	b, err := readKeyFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s: there is no such file: put the public key there or take it out of trust.keys", ErrKeys, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: %s: this user may not read it: public keys are no secret, chmod 0644 %s", ErrKeys, path, path)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	got, err := image.ParseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeys, path, err)
	}
	return got, nil
}

func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // and a pipe would never end
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
