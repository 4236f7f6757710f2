package image

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const (
	maxKeyFile = 64 << 10 // bytes; a P-256 key takes 178 as PEM
	maxKeys    = 32       // in one file
	rawKeySize = 64       // X‖Y, as the device stores its key
)

// ErrKey says that bytes hold no usable public key.
var ErrKey = errors.New("no ECDSA P-256 public key")

// Key is a public key that signs firmware: ECDSA on P-256.
type Key struct {
	// ID names the key in logs and reports: the first 8 bytes, in hex, of the
	// SHA-256 of its DER SubjectPublicKeyInfo.
	ID  string
	pub *ecdsa.PublicKey
	der []byte
}

// NewKey takes a public key; it refuses a curve other than P-256 with an
// error that wraps [ErrKey].
func NewKey(pub *ecdsa.PublicKey) (Key, error) {
	if pub.Curve != elliptic.P256() {
		return Key{}, fmt.Errorf("%w: its curve is %s; make one on prime256v1", ErrKey, pub.Curve.Params().Name)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	id := sha256.Sum256(der)
	return Key{ID: hex.EncodeToString(id[:8]), pub: pub, der: der}, nil
}

// DER gives the key as SubjectPublicKeyInfo, as `openssl ec -pubout -outform
// DER` writes it.
func (k Key) DER() []byte { return slices.Clone(k.der) }

// ParseKeys reads the public keys of a file: PEM ("PUBLIC KEY", one or more
// blocks), one DER SubjectPublicKeyInfo, or the 64 bytes X‖Y that a device
// holds. One bad key refuses the whole file: a key ring that silently lost a
// key would refuse good images. Errors wrap [ErrKey].
func ParseKeys(b []byte) ([]Key, error) {
	switch {
	case len(b) > maxKeyFile:
		return nil, fmt.Errorf("%w: the file is larger than %d bytes", ErrKey, maxKeyFile)
	case bytes.Contains(b, []byte("-----BEGIN ")):
		return parsePEM(b)
	case len(b) == rawKeySize:
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, b...))
		if err != nil {
			return nil, fmt.Errorf("%w: the %d bytes are no point X‖Y of P-256", ErrKey, rawKeySize)
		}
		return oneKey(NewKey(pub))
	default:
		return oneKey(parseDER(b))
	}
}

func oneKey(k Key, err error) ([]Key, error) {
	if err != nil {
		return nil, err
	}
	return []Key{k}, nil
}

func parsePEM(b []byte) ([]Key, error) {
	// pem.Decode skips what it cannot read; the count finds a skipped block.
	want := bytes.Count(b, []byte("-----BEGIN "))
	var keys []Key
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("%w: block %d is a %s; %s", ErrKey, len(keys)+1, block.Type, howToExtract(block.Type))
		}
		k, err := parseDER(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", len(keys)+1, err)
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, fmt.Errorf("%w: the file holds more than %d keys", ErrKey, maxKeys)
		}
	}
	if len(keys) != want {
		return nil, fmt.Errorf("%w: %d of the %d PEM blocks cannot be read; the file is damaged", ErrKey, want-len(keys), want)
	}
	return keys, nil
}

// howToExtract gives the command that gets a public key out of a PEM block of
// another kind.
func howToExtract(kind string) string {
	switch kind {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return "take its key out with: openssl x509 -in FILE -noout -pubkey"
	case "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PARAMETERS":
		return "a private key belongs on the build server only; take its public part with: openssl ec -in FILE -pubout"
	default:
		return "want a PUBLIC KEY"
	}
}

func parseDER(der []byte) (Key, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s", ErrKey, whatDERIs(der, err))
	}
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return Key{}, fmt.Errorf("%w: it is another kind of key (%T); make one with: openssl ecparam -name prime256v1 -genkey -noout", ErrKey, pub)
	}
	return NewKey(ec)
}

// whatDERIs explains DER that is no public key; cause is why it is not.
func whatDERIs(der []byte, cause error) string {
	if _, err := x509.ParseCertificate(der); err == nil {
		return "it is a certificate; " + howToExtract("CERTIFICATE")
	}
	_, errSEC1 := x509.ParseECPrivateKey(der)
	_, errPKCS8 := x509.ParsePKCS8PrivateKey(der)
	if errSEC1 == nil || errPKCS8 == nil {
		return "it is a private key; " + howToExtract("PRIVATE KEY")
	}
	return fmt.Sprintf("neither PEM, nor DER SubjectPublicKeyInfo, nor %d bytes X‖Y (%v)", rawKeySize, cause)
}

// Signed says whether sig (r‖s, 32 bytes each, big-endian) is the key's
// signature over digest. ecdsa.Verify refuses r and s of 0 and of the group's
// order or above.
func (k Key) Signed(digest [32]byte, sig [64]byte) bool {
	return k.pub != nil && ecdsa.Verify(k.pub, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// Keyring holds the public keys that images may be signed with. The zero
// Keyring knows no key and refuses everything.
type Keyring struct {
	keys    []Key
	revoked []Key // known, and of no worth: so that a refusal can name them
}

// NewKeyring makes a keyring; a key given twice counts once.
func NewKeyring(keys ...Key) Keyring {
	var ring Keyring
	for _, k := range keys {
		if k.pub != nil && !slices.ContainsFunc(ring.keys, func(have Key) bool { return have.ID == k.ID }) {
			ring.keys = append(ring.keys, k)
		}
	}
	return ring
}

// IDs gives the [Key].ID of each key.
func (r Keyring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.ID
	}
	return ids
}

// Key finds a key by its ID.
func (r Keyring) Key(id string) (Key, bool) {
	i := slices.IndexFunc(r.keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return Key{}, false
	}
	return r.keys[i], true
}

// Without is the keyring in which the keys of these IDs are revoked: what they
// have signed is refused, and the refusal says why.
func (r Keyring) Without(ids ...string) Keyring {
	out := Keyring{revoked: slices.Clone(r.revoked)}
	for _, k := range r.keys {
		if slices.Contains(ids, k.ID) {
			out.revoked = append(out.revoked, k)
		} else {
			out.keys = append(out.keys, k)
		}
	}
	return out
}

// signer finds the key whose signature over digest sig is.
func signer(keys []Key, digest [32]byte, sig [64]byte) (Key, bool) {
	for _, k := range keys {
		if k.Signed(digest, sig) {
			return k, true
		}
	}
	return Key{}, false
}

// String lists the keys' IDs.
func (r Keyring) String() string {
	if len(r.keys) == 0 {
		return "none; configure a public key"
	}
	return strings.Join(r.IDs(), ", ")
}
