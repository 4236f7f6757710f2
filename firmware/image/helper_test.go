package image_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// The golden image was made without any code of this project: the app image by
// struct.pack and confirmed by esptool's image-info, the keys by openssl, the
// signature by `openssl dgst -sha256 -sign`, its r and s taken out of the DER
// and packed by hand.
func golden(t testing.TB) []byte { return testFile(t, "golden.signed.bin") }

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenKeys(t testing.TB) image.Keyring {
	t.Helper()
	keys, err := image.ParseKeys(testFile(t, "pub.der"))
	if err != nil {
		t.Fatal(err)
	}
	return image.NewKeyring(keys...)
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ring(t testing.TB, keys ...*ecdsa.PrivateKey) image.Keyring {
	t.Helper()
	var pubs []image.Key
	for _, k := range keys {
		pub, err := image.NewKey(&k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		pubs = append(pubs, pub)
	}
	return image.NewKeyring(pubs...)
}

// pack signs any payload and packs it under any version, as an attacker with a
// key, or a careless signer, would.
func pack(t testing.TB, payload []byte, version compat.Version, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	sum := sha256.Sum256(payload)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint32(nil, 0x524F424F)
	b = binary.LittleEndian.AppendUint32(b, version.Packed())
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, sum[:]...)
	b = append(b, r.FillBytes(make([]byte, 32))...)
	b = append(b, s.FillBytes(make([]byte, 32))...)
	b = append(b, make([]byte, 28)...)
	return append(b, payload...)
}

// with gives a copy of b in which put was written at offset at.
func with(b []byte, at int, put ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], put)
	return b
}

// rehash gives a copy of an app image with its last 32 bytes made right again.
func rehash(b []byte) []byte {
	sum := sha256.Sum256(b[:len(b)-32])
	return with(b, len(b)-32, sum[:]...)
}

func le32(u uint32) []byte { return binary.LittleEndian.AppendUint32(nil, u) }
