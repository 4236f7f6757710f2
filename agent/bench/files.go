package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zlib"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// The fleet's partition table puts these here.
const (
	slotOffset = 0x220000 // ota_0
	otaOffset  = 0x18000
	sectorSize = 0x1000
	region     = 64 << 10
)

const (
	runningVersion = "0.2.0"
	newVersion     = "0.2.1"
)

// files are what the flashers read, and what lies in flash before.
type files struct {
	dir     string
	running []byte // in factory
	update  []byte
	other   []byte // unrelated, what a slot holds from the update before last
	older   []byte // update, but for a sector in each tenth region
	bumped  []byte // update, but for version, hash of the ELF file, checksum and digest
	floor   int    // bytes on the line that update cannot be written without
}

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

// prepare makes the images and writes them to dir.
func prepare(dir string, size int) (files, error) {
	f := files{dir: dir}
	for _, b := range []struct {
		to      *[]byte
		version string
	}{{&f.running, runningVersion}, {&f.update, newVersion}, {&f.other, "0.1.9"}} {
		img, err := testimage.Build(testimage.Spec{Version: b.version, Size: size})
		if err != nil {
			return f, err
		}
		*b.to = img
	}
	f.older, f.bumped = older(f.update), bumped(f.update)
	var err error
	if f.floor, err = floor(f.update); err != nil {
		return f, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return f, err
	}
	signed, err := image.Sign(f.update, key)
	if err != nil {
		return f, err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return f, err
	}
	boot, err := otaData()
	if err != nil {
		return f, err
	}
	for name, b := range map[string][]byte{
		"signed.bin": signed, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}),
		"update.bin": f.update, "older.bin": f.older, "bumped.bin": f.bumped, "otadata.bin": boot,
	} {
		if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
			return f, err
		}
	}
	return f, nil
}

// older differs from img in one sector of each tenth region, in place.
func older(img []byte) []byte {
	old := bytes.Clone(img)
	for at := region / 2; at < len(old); at += 10 * region {
		for i := at; i < min(at+256, len(old)); i++ {
			old[i] ^= 0xA5
		}
	}
	return old
}

// Places in an ESP-IDF image: headers, then the app description, and at its end
// a checksum and a SHA-256.
const (
	versionAt = 32 + 16
	elfAt     = 32 + 144
	elfSize   = 32
)

// bumped is img as the same code is built under another version.
func bumped(img []byte) []byte {
	b := bytes.Clone(img)
	copy(b[versionAt:], runningVersion+"\x00")
	for i := range elfSize {
		b[elfAt+i] ^= 0x5A
	}
	body := len(b) - sha256.Size
	for i := range body - 1 {
		b[body-1] ^= b[i] ^ img[i]
	}
	digest := sha256.Sum256(b[:body])
	copy(b[body:], digest[:])
	return b
}

// The loader's frames around a block of data: two borders, the command's header,
// the block's.
const (
	blockSize = 16 << 10
	blockMore = 2 + 8 + 16
)

// floor is how many bytes bring img to the loader: the smallest of its zlib
// streams in blocks of the largest size, escaped.
func floor(img []byte) (int, error) {
	least := 0
	for level := zlib.BestSpeed; level <= zlib.BestCompression; level++ {
		var z bytes.Buffer
		w, err := zlib.NewWriterLevel(&z, level)
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(img); err != nil {
			return 0, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
		n := z.Len() + (z.Len()+blockSize-1)/blockSize*blockMore +
			bytes.Count(z.Bytes(), []byte{0xC0}) + bytes.Count(z.Bytes(), []byte{0xDB})
		if least == 0 || n < least {
			least = n
		}
	}
	return least, nil
}

// otaData is the sector that makes a chip fresh from the works boot ota_0.
func otaData() ([]byte, error) {
	blank, err := flashmap.ParseOTAData(bytes.Repeat([]byte{0xFF}, 2*sectorSize))
	if err != nil {
		return nil, err
	}
	edits, err := blank.Switch(flashmap.Factory, 0, 2)
	if err != nil {
		return nil, err
	}
	if len(edits) != 1 || edits[0].Offset != 0 {
		return nil, fmt.Errorf("the first switch takes %d edits, want one at +0", len(edits))
	}
	return edits[0].Data, nil
}

// flash is a chip that runs from factory and has content in ota_0.
func (f files) flash(content []byte) ([]byte, error) {
	b, err := espsim.Provision(espsim.DefaultFlashSize, 0, map[string][]byte{"factory": f.running})
	if err != nil {
		return nil, err
	}
	copy(b[slotOffset:], content)
	return b, nil
}
