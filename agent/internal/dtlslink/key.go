package dtlslink

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// KeySize is the length of the pre-shared key in bytes.
const KeySize = 16

// maxIdentity bounds the identity; RFC 4279, section 5.3 asks for support of
// 128 bytes.
const maxIdentity = 128

// maxKeyFile bounds the key file that is read.
const maxKeyFile = 512

// ErrKeyFile is wrapped by what is wrong with a key file.
var ErrKeyFile = errors.New("DTLS key file")

// LoadKey reads the pre-shared key: one line, the key in hex, with its
// identity before it where that is not configured, as "identity:hex". A file
// that others than its owner may read is refused.
func LoadKey(path string) (identity string, key []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	defer f.Close()
	info, err := f.Stat() // of the file that is read, whatever lies at the path by then
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	case !info.Mode().IsRegular():
		return "", nil, fmt.Errorf("%w %s: it is no regular file", ErrKeyFile, path)
	case info.Mode().Perm()&^0o600 != 0:
		return "", nil, fmt.Errorf("%w %s: its mode is %04o, others may use it: chmod 600 %s", ErrKeyFile, path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	identity, key, err = parseKey(text)
	if err != nil {
		return "", nil, fmt.Errorf("%w %s: %w", ErrKeyFile, path, err)
	}
	return identity, key, nil
}

// parseKey reads the contents of a key file. Its errors do not hold the key.
func parseKey(text []byte) (identity string, key []byte, err error) {
	if len(text) > maxKeyFile {
		return "", nil, fmt.Errorf("it has more than %d bytes", maxKeyFile)
	}
	line := strings.TrimSpace(string(text))
	if i := strings.LastIndexByte(line, ':'); i >= 0 {
		identity, line = line[:i], line[i+1:]
		if err := checkIdentity(identity); err != nil {
			return "", nil, err
		}
	}
	key, err = hex.DecodeString(line)
	if err != nil || len(key) != KeySize {
		return "", nil, fmt.Errorf("want a key of %d bytes as %d hex digits, with \"identity:\" before it or not", KeySize, 2*KeySize)
	}
	return identity, key, nil
}

func checkIdentity(s string) error {
	if s == "" || len(s) > maxIdentity || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '�' }) {
		return fmt.Errorf("want an identity of 1 to %d bytes, such as robot_1a2b3c4d", maxIdentity)
	}
	return nil
}
