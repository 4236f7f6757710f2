// Package password keeps passwords as argon2id hashes (RFC 9106), in the PHC
// string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash. The parameters stand
// in each hash, so that stronger ones can come later; those of a stored hash
// are bounded, so that a damaged database cannot ask for all memory.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Bounds of a password, in characters and in bytes.
const (
	MinLength = 12
	MaxLength = 256
)

// The parameters of new hashes: OWASP's first choice for argon2id. A hash takes
// 19 MiB and some tens of milliseconds.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	saltLen = 16
	keyLen  = 32
)

// Bounds of the parameters of stored hashes.
const (
	maxMemory = 256 << 10
	maxPasses = 16
	maxLanes  = 8
)

// ErrWrong says that a password is not the one of the hash.
var ErrWrong = errors.New("wrong password")

// Check says why a password will not do; nil: it will.
func Check(password string) error {
	switch {
	case !utf8.ValidString(password):
		return errors.New("the password is not UTF-8")
	case utf8.RuneCountInString(password) < MinLength:
		return fmt.Errorf("the password is too short: want %d characters or more", MinLength)
	case len(password) > MaxLength:
		return fmt.Errorf("the password is too long: want %d bytes or fewer", MaxLength)
	}
	return nil
}

// Hash makes the hash to be stored.
func Hash(password string) (string, error) {
	if err := Check(password); err != nil {
		return "", err
	}
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // it never fails
	key := argon2.IDKey([]byte(password), salt, passes, memory, lanes, keyLen)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, enc.EncodeToString(salt), enc.EncodeToString(key)), nil
}

// Verify says whether a password is the one of the hash: nil, ErrWrong, or what
// is wrong with the hash.
func Verify(hash, password string) error {
	h, err := parse(hash)
	if err != nil {
		return err
	}
	if len(password) > MaxLength {
		return ErrWrong
	}
	key := argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.lanes, uint32(len(h.key)))
	if subtle.ConstantTimeCompare(key, h.key) != 1 {
		return ErrWrong
	}
	return nil
}

// stored is a hash that was taken apart.
type stored struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func parse(hash string) (stored, error) {
	var h stored
	var version int
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errors.New("the stored password is no argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return h, fmt.Errorf("the stored password is of another version of argon2 than %d", argon2.Version)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.lanes); err != nil {
		return h, fmt.Errorf("the parameters of the stored password: %w", err)
	}
	if h.memory < 8 || h.memory > maxMemory || h.passes < 1 || h.passes > maxPasses || h.lanes < 1 || h.lanes > maxLanes {
		return h, errors.New("the parameters of the stored password are out of bounds")
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil {
		return h, fmt.Errorf("the stored password: %w", err)
	}
	if len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return h, errors.New("salt or hash of the stored password have a length out of bounds")
	}
	return h, nil
}
