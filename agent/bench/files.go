package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

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
	f.older = older(f.update)
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
		"update.bin": f.update, "older.bin": f.older, "otadata.bin": boot,
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
