// Package keyringtest makes keys and keyring documents for tests, and is for
// tests only: it panics where something cannot be made.
package keyringtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Signer is a pair of keys.
type Signer struct {
	Private *ecdsa.PrivateKey
	Public  image.Key
}

// ID is the key's.
func (s Signer) ID() string { return s.Public.ID }

// Signers makes n fresh ones.
func Signers(n int) []Signer {
	out := make([]Signer, n)
	for i := range out {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		pub, err := image.NewKey(&k.PublicKey)
		must(err)
		out[i] = Signer{Private: k, Public: pub}
	}
	return out
}

// Document is what c says, signed by all of them, as it arrives.
func Document(c keyring.Content, by ...Signer) keyring.Document {
	d, err := keyring.New(c)
	must(err)
	for _, s := range by {
		d, err = d.Sign(s.Private)
		must(err)
	}
	d, err = keyring.Parse(d.Encode())
	must(err)
	return d
}

// Any is a document of a version that says something, signed by somebody.
func Any(version uint64) keyring.Document {
	return Document(keyring.Content{Version: version, Revoked: []string{"00000000000000aa"}}, Signers(1)...)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
