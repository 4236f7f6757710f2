package image_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

var s3 = image.Policy{Chip: image.ESP32S3}

func TestVerifyGolden(t *testing.T) {
	signed := golden(t)
	v, err := image.Verify(signed, goldenKeys(t), image.Policy{
		Chip: image.ESP32S3, SKU: "standard", Version: compat.Version{Major: 1, Minor: 2, Patch: 3},
		Running: compat.Version{Major: 1, Minor: 2, Patch: 3}, MaxSize: 352,
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.IsZero() || v.Version().String() != "1.2.3" || v.Size() != 352 || v.KeyID() != "9d130c012336b3f8" {
		t.Errorf("version %v, %d bytes, key %s", v.Version(), v.Size(), v.KeyID())
	}
	sum, digest := v.SHA256(), v.App().Digest
	if hex.EncodeToString(sum[:]) != "ba28e70718233b91b8a0fa2ae9e2c99ae20702bf5efb475da455ea0e2255b744" {
		t.Errorf("SHA-256 %x", sum)
	}
	if hex.EncodeToString(digest[:]) != "842c0a3a09c64c3f18c0907c0e3d3fa57b5615f358d7aa3b3d8a2184d7b469ba" {
		t.Errorf("digest %x", digest)
	}
	if v.MD5() != md5.Sum(signed[image.HeaderSize:]) {
		t.Errorf("MD5 %x", v.MD5())
	}
	var none image.Verified
	if !none.IsZero() {
		t.Error("the zero Verified holds an image")
	}
}

// TestTakeSpendsNoMemory: neither the one that takes an image nor those that use
// it have a second one in memory, and nobody writes behind its end.
func TestTakeSpendsNoMemory(t *testing.T) {
	signed := golden(t)
	v, err := image.Take(signed, goldenKeys(t), s3)
	if err != nil {
		t.Fatal(err)
	}
	b := v.Bytes()
	if &b[0] != &signed[image.HeaderSize] || len(b) != int(v.Size()) || cap(b) != len(b) {
		t.Errorf("%d bytes of room for %d, or a copy", cap(b), len(b))
	}
	// What was changed has another MD5 than the image, so the chip does not boot it.
	b[100] ^= 1
	if v.MD5() == md5.Sum(b) {
		t.Error("a byte that was changed after the verification is taken for the image's")
	}
}

// TestVerifiedOwnsItsBytes changes the file after it was verified.
func TestVerifiedOwnsItsBytes(t *testing.T) {
	signed := golden(t)
	want := bytes.Clone(signed[image.HeaderSize:])
	v, err := image.Verify(signed, goldenKeys(t), s3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed {
		signed[i] = 0
	}
	for range 2 { // each reader is fresh
		if got, err := io.ReadAll(v.Payload()); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the payload changed with the file: %v", err)
		}
	}
}

// A revoked key is told from one that was never known.
func TestRevokedKey(t *testing.T) {
	signed, other := golden(t), newKey(t, elliptic.P256())
	keys := goldenKeys(t)
	id := keys.IDs()[0]
	if k, ok := keys.Key(id); !ok || k.ID != id {
		t.Errorf("key %v, %v", k.ID, ok)
	}
	for name, tt := range map[string]struct {
		keys image.Keyring
		code image.RefusalCode
		says string
	}{
		"revoked":                   {keys.Without(id), image.RefusedRevoked, "signed by key " + id + ", which is revoked"},
		"revoked with others":       {keys.Without("00000000000000ff", id), image.RefusedRevoked, "which is revoked"},
		"revoked, and others trust": {image.NewKeyring(append(allKeys(t, ring(t, other)), allKeys(t, keys)...)...).Without(id), image.RefusedRevoked, "which is revoked"},
		"never known":               {ring(t, other), image.RefusedSignature, "not signed by a known key"},
		"nobody":                    {image.Keyring{}, image.RefusedSignature, "known: none"},
	} {
		_, err := image.Verify(signed, tt.keys, s3)
		var r *image.Refused
		if !errors.As(err, &r) || r.Code != tt.code || !strings.Contains(r.Detail, tt.says) || !r.Final() {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := tt.keys.Key(id); ok {
			t.Errorf("%s: the key counts", name)
		}
	}
	if _, err := image.Verify(signed, keys.Without("00000000000000ff"), s3); err != nil {
		t.Errorf("another key revoked: %v", err)
	}
	if (image.Key{}).Signed([32]byte{}, [64]byte{}) {
		t.Error("the zero key has signed something")
	}
}

func allKeys(t *testing.T, r image.Keyring) (out []image.Key) {
	t.Helper()
	for _, id := range r.IDs() {
		k, ok := r.Key(id)
		if !ok {
			t.Fatal(id)
		}
		out = append(out, k)
	}
	return out
}

// TestEveryBitFlipIsRefused flips each bit of header, hash, signature and
// payload.
func TestEveryBitFlipIsRefused(t *testing.T) {
	signed, keys := golden(t), goldenKeys(t)
	policy := image.Policy{Chip: image.ESP32S3}
	codes := func(at int) []image.RefusalCode {
		switch {
		case at < 4:
			return []image.RefusalCode{image.RefusedNotAnImage}
		case at < 8:
			return []image.RefusalCode{image.RefusedVersion}
		case at < 12:
			return []image.RefusalCode{image.RefusedSize, image.RefusedNotAnImage}
		case at < 44:
			return []image.RefusalCode{image.RefusedHash}
		case at < 108:
			return []image.RefusalCode{image.RefusedSignature}
		case at < 136:
			return []image.RefusalCode{image.RefusedNotAnImage}
		default:
			return []image.RefusalCode{image.RefusedHash}
		}
	}
	for at := range signed {
		for bit := range 8 {
			signed[at] ^= 1 << bit
			v, err := image.Verify(signed, keys, policy)
			signed[at] ^= 1 << bit
			var refused *image.Refused
			if !errors.As(err, &refused) || !v.IsZero() {
				t.Fatalf("bit %d of byte %d flipped: accepted (%v)", bit, at, err)
			}
			if want := codes(at); refused.Code != want[0] && refused.Code != want[len(want)-1] {
				t.Errorf("bit %d of byte %d flipped: %v, want %v", bit, at, err, want)
			}
		}
	}
	if _, err := image.Verify(signed, keys, policy); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
}

// TestEveryCutAndExtensionIsRefused takes bytes off the end and adds some.
func TestEveryCutAndExtensionIsRefused(t *testing.T) {
	signed, keys := golden(t), goldenKeys(t)
	for n := range signed {
		if _, err := image.Verify(signed[:n], keys, s3); err == nil {
			t.Fatalf("%d of %d bytes are accepted", n, len(signed))
		}
	}
	for _, extra := range []int{1, 16, 4096} {
		if _, err := image.Verify(append(bytes.Clone(signed), make([]byte, extra)...), keys, s3); err == nil {
			t.Fatalf("%d bytes more are accepted", extra)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, stranger := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	keys := ring(t, key)
	v021 := compat.Version{Minor: 2, Patch: 1}
	app := imagetest.App(imagetest.Options{Project: "robot-platform-basic"})
	good := pack(t, app, v021, key)
	n := elliptic.P256().Params().N
	sig := func(r, s *big.Int) []byte {
		b := bytes.Clone(good)
		r.FillBytes(b[44:76])
		s.FillBytes(b[76:108])
		return b
	}
	one, zero, huge := big.NewInt(1), new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	goodR, goodS := new(big.Int).SetBytes(good[44:76]), new(big.Int).SetBytes(good[76:108])

	for _, c := range []struct {
		name   string
		signed []byte
		keys   image.Keyring
		policy image.Policy
		code   image.RefusalCode
		says   string
	}{
		{"nothing", nil, keys, s3, image.RefusedNotAnImage, "0 bytes are too few"},
		{"a header's worth less one", good[:135], keys, s3, image.RefusedNotAnImage, "135 bytes are too few"},
		{"a bare app image", app, keys, s3, image.RefusedNotAnImage, "begins with"},
		{"endless data", make([]byte, image.HeaderSize+image.MaxImageSize+1), keys, s3, image.RefusedSize, "more than the largest"},
		{"header only", good[:136], keys, s3, image.RefusedSize, "0 follow it"},
		{"size 0", with(good[:136], 8, 0, 0, 0, 0), keys, s3, image.RefusedNotAnImage, "image size of 0"},
		{"size 2^31-1", with(good, 8, le32(1<<31-1)...), keys, s3, image.RefusedNotAnImage, "image size of 2147483647"},
		{"size 2^31", with(good, 8, le32(1<<31)...), keys, s3, image.RefusedNotAnImage, "image size of 2147483648"},
		{"size 2^32-1", with(good, 8, le32(1<<32-1)...), keys, s3, image.RefusedNotAnImage, "image size of 4294967295"},
		{"size that wraps with the header", with(good, 8, le32(1<<32-136)...), keys, s3, image.RefusedNotAnImage, "image size"},
		{"size the largest", with(good, 8, le32(image.MaxImageSize)...), keys, s3, image.RefusedSize, "cut or extended"},
		{"reserved bytes used", with(good, 135, 1), keys, s3, image.RefusedNotAnImage, "reserved byte 27"},
		{"payload swapped", append(bytes.Clone(good[:136]), imagetest.App(imagetest.Options{Version: "9.9.9"})...), keys, s3, image.RefusedHash, "changed or damaged"},
		{"payload changed", with(good, 400, 0xAA), keys, s3, image.RefusedHash, "changed or damaged"},
		{"empty signature", sig(zero, zero), keys, s3, image.RefusedUnsigned, "signature is empty"},
		{"r is 0", sig(zero, goodS), keys, s3, image.RefusedSignature, "known key"},
		{"s is 0", sig(goodR, zero), keys, s3, image.RefusedSignature, "known key"},
		{"r is n", sig(n, goodS), keys, s3, image.RefusedSignature, "known key"},
		{"s is n", sig(goodR, n), keys, s3, image.RefusedSignature, "known key"},
		{"r and s are 1", sig(one, one), keys, s3, image.RefusedSignature, "known key"},
		{"r and s are the largest", sig(huge, huge), keys, s3, image.RefusedSignature, "known key"},
		{"r and s swapped", sig(goodS, goodR), keys, s3, image.RefusedSignature, "known key"},
		{"r twice", sig(goodR, goodR), keys, s3, image.RefusedSignature, "known key"},
		{"a stranger's key", pack(t, app, v021, stranger), keys, s3, image.RefusedSignature, keys.IDs()[0]},
		{"no keys", good, image.Keyring{}, s3, image.RefusedSignature, "none; configure a public key"},
		{"signed, but no app", pack(t, []byte("hello"), v021, key), keys, s3, image.RefusedApp, "not an ESP32 app image"},
		{"signed, with data behind it", pack(t, append(bytes.Clone(app), 0), v021, key), keys, s3, image.RefusedApp, "follow its end"},
		{"signed, development version", pack(t, imagetest.App(imagetest.Options{Version: "0.2.1-dirty"}), v021, key), keys, s3, image.RefusedApp, "set PROJECT_VER"},
		{"signed, version 0.0.0", pack(t, imagetest.App(imagetest.Options{Version: "0.0.0"}), compat.Version{}, key), keys, s3, image.RefusedApp, "unknown version"},
		{"header claims a newer version", with(good, 4, le32(0x00090909)...), keys, s3, image.RefusedVersion, "the header says version 9.9.9"},
		{"header claims none", with(good, 4, le32(0)...), keys, s3, image.RefusedVersion, "changed after signing"},
		{
			"not the requested version", good, keys,
			image.Policy{Chip: image.ESP32S3, Version: compat.Version{Minor: 2, Patch: 2}},
			image.RefusedVersion, "it is version 0.2.1, requested was 0.2.2",
		},
		{"another chip", good, keys, image.Policy{}, image.RefusedChip, "built for esp32s3, this robot has esp32"},
		{"another SKU", good, keys, image.Policy{Chip: image.ESP32S3, SKU: "industrial"}, image.RefusedSKU, `SKU "basic", this robot is "industrial"`},
		{
			"a downgrade", good, keys, image.Policy{Chip: image.ESP32S3, Running: compat.Version{Minor: 2, Patch: 2}},
			image.RefusedDowngrade, "older than the running 0.2.2",
		},
		{
			"too large for the slot", good, keys, image.Policy{Chip: image.ESP32S3, MaxSize: uint32(len(app)) - 1},
			image.RefusedTooLarge, "the slot 335",
		},
	} {
		v, err := image.Verify(c.signed, c.keys, c.policy)
		var refused *image.Refused
		if !errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(err.Error(), c.says) || !v.IsZero() {
			t.Errorf("%s: %v, want %s saying %q", c.name, err, c.code, c.says)
		}
	}
}

func TestVerifyAccepts(t *testing.T) {
	key, second := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	v021 := compat.Version{Minor: 2, Patch: 1}
	basic := pack(t, imagetest.App(imagetest.Options{Project: "robot-platform-basic"}), v021, key)
	noSKU := pack(t, imagetest.App(imagetest.Options{}), v021, key)
	esp32 := pack(t, imagetest.App(imagetest.Options{Chip: image.ESP32, ChipSet: true}), v021, key)
	for _, c := range []struct {
		name   string
		signed []byte
		keys   image.Keyring
		policy image.Policy
	}{
		{"one key", basic, ring(t, key), s3},
		{"the second of two keys", basic, ring(t, second, key), s3},
		{"its SKU", basic, ring(t, key), image.Policy{Chip: image.ESP32S3, SKU: "basic"}},
		{"no SKU named, one asked", noSKU, ring(t, key), image.Policy{Chip: image.ESP32S3, SKU: "basic"}},
		{"any chip", basic, ring(t, key), image.Policy{Chip: image.AnyChip}},
		{"the other chip", esp32, ring(t, key), image.Policy{Chip: image.ESP32}},
		{"the requested version", basic, ring(t, key), image.Policy{Chip: image.ESP32S3, Version: v021}},
		{"the version that runs", basic, ring(t, key), image.Policy{Chip: image.ESP32S3, Running: v021}},
		{"a downgrade that is allowed", basic, ring(t, key), image.Policy{Chip: image.ESP32S3, Running: compat.Version{Major: 1}, AllowDowngrade: true}},
		{"a slot of its size", basic, ring(t, key), image.Policy{Chip: image.ESP32S3, MaxSize: 336}},
	} {
		if v, err := image.Verify(c.signed, c.keys, c.policy); err != nil || v.IsZero() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestMalleability shows what the package doc says: the twin of a signature is
// accepted, the file's own hash changes with it, what identifies the image
// does not.
func TestMalleability(t *testing.T) {
	signed := golden(t)
	twin := bytes.Clone(signed)
	s := new(big.Int).SetBytes(signed[76:108])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(twin[76:108])
	a, err := image.Verify(signed, goldenKeys(t), s3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := image.Verify(twin, goldenKeys(t), s3)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(signed) == sha256.Sum256(twin) || a.SHA256() != b.SHA256() || a.App().Digest != b.App().Digest {
		t.Error("the twin's identity is not the original's")
	}
}

func TestSign(t *testing.T) {
	key := newKey(t, elliptic.P256())
	app := imagetest.App(imagetest.Options{Version: "v1.4.2", Body: []byte("a body of no multiple of 4")})
	signed, err := image.Sign(app, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := image.Verify(signed, ring(t, key), s3)
	if err != nil || v.Version().String() != "1.4.2" || v.Size() != uint32(len(app)) {
		t.Fatalf("version %v, %d bytes, %v", v.Version(), v.Size(), err)
	}
	again, err := image.Sign(app, key)
	if err != nil || !bytes.Equal(signed, again) {
		t.Errorf("signed again, the file differs (%v)", err)
	}
	for _, c := range []struct {
		name string
		app  []byte
		is   error
	}{
		{"no app", []byte("no app"), image.ErrApp},
		{"signed already", signed, image.ErrApp},
		{"no release", imagetest.App(imagetest.Options{Version: "main"}), compat.ErrVersion},
	} {
		if _, err := image.Sign(c.app, key); !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := image.Sign(app, newKey(t, elliptic.P384())); !errors.Is(err, image.ErrKey) {
		t.Errorf("a key of another curve: %v", err)
	}
}

func TestAttackNames(t *testing.T) {
	for code, want := range map[image.RefusalCode]string{
		image.RefusedNotAnImage: "arbitrary image", image.RefusedUnsigned: "arbitrary image",
		image.RefusedHash: "arbitrary image", image.RefusedSignature: "arbitrary image",
		image.RefusedRevoked: "key compromise",
		image.RefusedSize:    "endless data or truncation", image.RefusedVersion: "mix-and-match",
		image.RefusedChip: "wrong target", image.RefusedSKU: "wrong target", image.RefusedDowngrade: "roll-back",
		image.RefusedApp: "", image.RefusedTooLarge: "", "later": "",
	} {
		if got := code.Attack(); got != want {
			t.Errorf("%s is %q, want %q", code, got, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(golden(f))
	f.Add(golden(f)[:200])
	keys := goldenKeys(f)
	want := golden(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := image.Verify(b, keys, s3)
		if err != nil {
			var refused *image.Refused
			if !errors.As(err, &refused) || !v.IsZero() {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		// The private key signed one payload; only its signature has a twin.
		if !bytes.Equal(b[136:], want[136:]) || !bytes.Equal(b[:44], want[:44]) {
			t.Fatal("accepted what was never signed")
		}
	})
}
