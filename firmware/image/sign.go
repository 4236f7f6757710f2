package image

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Sign puts a bare app image into a signed container, with the version of its
// app description. The key is on P-256. The signature is deterministic (RFC
// 6979): the same image and key give the same file. What Sign returns has
// passed [Verify].
func Sign(payload []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	pub, err := NewKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	app, err := ParseApp(payload)
	if err != nil {
		return nil, err
	}
	version, err := compat.ParseVersion(app.Desc.Version)
	if err != nil {
		return nil, fmt.Errorf("the version in its app description: %w; set PROJECT_VER in the firmware's build", err)
	}
	h := Header{Version: version, ImageSize: uint32(len(payload)), SHA256: sha256.Sum256(payload)}
	if h.Signature, err = SignDigest(h.SHA256, key); err != nil {
		return nil, err
	}
	signed := append(h.AppendTo(make([]byte, 0, HeaderSize+len(payload))), payload...)
	if _, err := Verify(signed, NewKeyring(pub), Policy{Chip: AnyChip}); err != nil {
		return nil, fmt.Errorf("check what was signed: %w", err)
	}
	return signed, nil
}

// SignDigest gives r‖s, 32 bytes each, big-endian: the same for the same digest
// and key. Whoever signs something else than an app image must see to it that
// neither can pass for the other, as package keyring does.
func SignDigest(digest [32]byte, key *ecdsa.PrivateKey) (sig [64]byte, err error) {
	der, err := key.Sign(nil, digest[:], crypto.SHA256) // nil: deterministic
	if err != nil {
		return sig, fmt.Errorf("sign: %w", err)
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return sig, fmt.Errorf("sign: %w", err)
	}
	rs.R.FillBytes(sig[:32])
	rs.S.FillBytes(sig[32:])
	return sig, nil
}
