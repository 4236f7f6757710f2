package tuf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// KeyID is a public key's name in documents: 64 hex digits.
func KeyID(pub *ecdsa.PublicKey) (string, error) {
	k, err := newKey(pub)
	if err != nil {
		return "", err
	}
	return k.ID()
}

func newKey(pub *ecdsa.PublicKey) (*metadata.Key, error) {
	if pub.Curve != elliptic.P256() {
		return nil, errors.New("a key is not on P-256: make one with ota-sign keygen")
	}
	k, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("a public key cannot be used: %w", err)
	}
	return k, nil
}

// checkKey refuses a key of a root document that is not of the fleet's kind, or
// that stands under another key's name.
func checkKey(id string, k *metadata.Key) error {
	if k == nil {
		return fmt.Errorf("key %.16q is null", id)
	}
	if k.Scheme != metadata.KeySchemeECDSA_SHA2_P256 || k.Type != metadata.KeyTypeECDSA_SHA2_P256 && k.Type != metadata.KeyTypeECDSA_SHA2_P256_COMPAT {
		return fmt.Errorf("key %.16q is of kind %.40q with scheme %.40q: want ECDSA P-256", id, k.Type, k.Scheme)
	}
	public, err := k.ToPublicKey()
	if err != nil {
		return fmt.Errorf("key %.16q cannot be read: %w", id, err)
	}
	if ec, ok := public.(*ecdsa.PublicKey); !ok || ec.Curve != elliptic.P256() {
		return fmt.Errorf("key %.16q is not on P-256", id)
	}
	if own, err := k.ID(); err != nil || own != id {
		return fmt.Errorf("key %.16q has the name of another key", id)
	}
	return nil
}

// sign replaces what that key has signed of a document before.
func sign[T metadata.Roles](doc *metadata.Metadata[T], key *ecdsa.PrivateKey) error {
	id, err := KeyID(&key.PublicKey)
	if err != nil {
		return err
	}
	signer, err := signature.LoadECDSASigner(key, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("the private key cannot sign: %w", err)
	}
	var others []metadata.Signature
	for _, s := range doc.Signatures {
		if s.KeyID != id {
			others = append(others, s)
		}
	}
	doc.Signatures = others
	if _, err := doc.Sign(signer); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}
