package image_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/image"
)

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func spki(t testing.TB, pub any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestOpensslKeys reads one key in the three forms that are in use.
func TestOpensslKeys(t *testing.T) {
	der := testFile(t, "pub.der")
	for name, b := range map[string][]byte{
		"DER":                 der,
		"PEM":                 testFile(t, "pub.pem"),
		"PEM, Windows lines":  bytes.ReplaceAll(testFile(t, "pub.pem"), []byte("\n"), []byte("\r\n")),
		"PEM after its text":  append([]byte("Public-Key: (256 bit)\n"), testFile(t, "pub.pem")...),
		"X‖Y from the device": der[len(der)-64:],
	} {
		keys, err := image.ParseKeys(b)
		if err != nil || len(keys) != 1 {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
			continue
		}
		if keys[0].ID != "9d130c012336b3f8" || !bytes.Equal(keys[0].DER(), der) {
			t.Errorf("%s: key %s", name, keys[0].ID)
		}
	}
}

func TestKeyring(t *testing.T) {
	a, b := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	file := append(pemOf("PUBLIC KEY", spki(t, &a.PublicKey)), pemOf("PUBLIC KEY", spki(t, &b.PublicKey))...)
	keys, err := image.ParseKeys(file)
	if err != nil || len(keys) != 2 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	r := image.NewKeyring(keys[0], keys[1], keys[0], image.Key{})
	if ids := r.IDs(); !slices.Equal(ids, []string{keys[0].ID, keys[1].ID}) {
		t.Errorf("keys %v", ids)
	}
	if text := r.String(); text != keys[0].ID+", "+keys[1].ID {
		t.Errorf("said as %q", text)
	}
	keys[0].DER()[0] = 0
	if keys[0].DER()[0] == 0 {
		t.Error("DER hands out the key's own bytes")
	}
}

func TestKeysRefused(t *testing.T) {
	p256, p384 := newKey(t, elliptic.P256()), newKey(t, elliptic.P384())
	edPub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &p256.PublicKey, p256)
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf("PUBLIC KEY", spki(t, &p256.PublicKey))
	many := bytes.Repeat(good, 33)
	offCurve := testFile(t, "pub.der")
	offCurve[len(offCurve)-1] ^= 1

	for _, c := range []struct {
		name string
		b    []byte
		says string
	}{
		{"nothing", nil, "neither PEM, nor DER"},
		{"text", []byte("not a key"), "neither PEM, nor DER"},
		{"too large", make([]byte, 64<<10+1), "larger than 65536"},
		{"P-384, DER", spki(t, &p384.PublicKey), "its curve is P-384; make one on prime256v1"},
		{"P-384, PEM", pemOf("PUBLIC KEY", spki(t, &p384.PublicKey)), "its curve is P-384"},
		{"RSA", spki(t, &rsaKey.PublicKey), "another kind of key (*rsa.PublicKey)"},
		{"Ed25519", pemOf("PUBLIC KEY", spki(t, edPub)), "another kind of key (ed25519.PublicKey)"},
		{"private key, PEM", pemOf("EC PRIVATE KEY", sec1), "a private key belongs on the build server only"},
		{"private key, PKCS 8", pemOf("PRIVATE KEY", pkcs8), "openssl ec -in FILE -pubout"},
		{"private key, DER", sec1, "it is a private key"},
		{"private key, PKCS 8 DER", pkcs8, "it is a private key"},
		{"parameters", pemOf("EC PARAMETERS", []byte{6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7}), "is a EC PARAMETERS"},
		{"certificate, PEM", pemOf("CERTIFICATE", cert), "openssl x509 -in FILE -noout -pubkey"},
		{"certificate, DER", cert, "it is a certificate"},
		{"another block", pemOf("RSA PUBLIC KEY", []byte{1}), "want a PUBLIC KEY"},
		{"good, then a private key", append(bytes.Clone(good), pemOf("EC PRIVATE KEY", sec1)...), "block 2 is a EC PRIVATE KEY"},
		{"good, then garbage in a block", append(bytes.Clone(good), pemOf("PUBLIC KEY", []byte("garbage"))...), "block 2: "},
		{"good, then a block that is cut", append(bytes.Clone(good), good[:100]...), "1 of the 2 PEM blocks cannot be read"},
		{"a block that is cut", good[:100], "1 of the 1 PEM blocks"},
		{"a damaged block, then good", append(with(good, 40, '!'), good...), "1 of the 2 PEM blocks"},
		{"too many", many, "more than 32 keys"},
		{"DER with a byte more", append(spki(t, &p256.PublicKey), 0), "neither PEM, nor DER"},
		{"DER cut", spki(t, &p256.PublicKey)[:90], "neither PEM, nor DER"},
		{"not on the curve, DER", offCurve, "no ECDSA P-256 public key"},
		{"not on the curve, X‖Y", offCurve[len(offCurve)-64:], "no point X‖Y of P-256"},
		{"zeros", make([]byte, 64), "no point X‖Y of P-256"},
	} {
		keys, err := image.ParseKeys(c.b)
		if !errors.Is(err, image.ErrKey) || !strings.Contains(err.Error(), c.says) || keys != nil {
			t.Errorf("%s: %d keys, %v, want it to say %q", c.name, len(keys), err, c.says)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(testFile(f, "pub.der"))
	f.Add(testFile(f, "pub.pem"))
	f.Add(bytes.Repeat(testFile(f, "pub.pem"), 2))
	f.Add(testFile(f, "pub.der")[91-64:])
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := image.ParseKeys(b)
		if err != nil {
			if !errors.Is(err, image.ErrKey) || keys != nil {
				t.Fatal(err)
			}
			return
		}
		for _, k := range keys {
			again, err := image.ParseKeys(k.DER())
			if err != nil || len(again) != 1 || again[0].ID != k.ID {
				t.Fatalf("key %s does not survive its DER: %v", k.ID, err)
			}
		}
	})
}
