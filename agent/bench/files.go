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

	"github.com/robot-platform/robot-ota/agent/internal/esprom/deflate"
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
	raw     int      // bytes on the line of update in the ROM's frames, not deflated
	changes []change // the first is a slot that holds an unrelated image
}

// change is what lies in the slot before, and what follows from that.
type change struct {
	name   string
	file   string // before, without the rest of the slot
	before []byte
	fresh  bool // all of the image is new to the slot
	small  bool // little of it is
	floor  int  // bytes on the line that cannot be done without
}

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

// prepare makes the images and writes them to dir. Where firmware is given, its
// code is in the one that is written, which is of its size then.
func prepare(dir string, size int, firmware []byte) (files, error) {
	f := files{dir: dir}
	if len(firmware) > 0 {
		size = len(firmware)
	}
	var other []byte
	for _, b := range []struct {
		to      *[]byte
		version string
	}{{&f.running, runningVersion}, {&f.update, newVersion}, {&other, "0.1.9"}} {
		img, err := testimage.Build(testimage.Spec{Version: b.version, Size: size})
		if err != nil {
			return f, err
		}
		*b.to = img
	}
	if err := fill(f.update, firmware); err != nil {
		return f, err
	}
	f.raw = escaped(f.update) + (size+romBlock-1)/romBlock*blockMore
	f.changes = []change{
		{name: "first write", file: "other.bin", before: other, fresh: true},
		{name: "small change", file: "older.bin", before: older(f.update), small: true},
		{name: "version only", file: "bumped.bin", before: bumped(f.update), small: true},
		{name: "large change", file: "moved.bin", before: moved(f.update)},
		{name: "no change", file: "update.bin", before: f.update, small: true},
	}
	for i, c := range f.changes {
		var err error
		if f.changes[i].floor, err = floor(c.before, f.update); err != nil {
			return f, err
		}
		if err := os.WriteFile(f.path(c.file), c.before, 0o600); err != nil {
			return f, err
		}
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
		"otadata.bin": boot,
	} {
		if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
			return f, err
		}
	}
	return f, nil
}

// moved is img with its second half 64 bytes further, as code is where a
// function before it grew.
func moved(img []byte) []byte {
	const by = 64
	old := bytes.Clone(img)
	copy(old[len(old)/2+by:], img[len(img)/2:])
	return old
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
	seal(b, img)
	return b
}

// seal mends checksum and digest of an image whose segments were changed from
// what they were.
func seal(b, was []byte) {
	body := len(b) - sha256.Size
	for i := range body - 1 {
		b[body-1] ^= b[i] ^ was[i]
	}
	digest := sha256.Sum256(b[:body])
	copy(b[body:], digest[:])
}

// fill puts the bytes of a real firmware into the segments of img, where the
// firmware has them; the app description and what follows it stay.
func fill(img, firmware []byte) error {
	if len(firmware) == 0 {
		return nil
	}
	app, err := image.ParseApp(img)
	if err != nil {
		return err
	}
	const described = 256 + espsim.MaxMarker
	was := bytes.Clone(img)
	for i, s := range app.Segments {
		from, to := int(s.Offset), min(int(s.Offset+s.Size), len(firmware))
		if i == 0 {
			from += described
		}
		if from < to {
			copy(img[from:to], firmware[from:to])
		}
	}
	seal(img, was)
	return nil
}

// The loader's frames around a block of data: two borders, the command's header,
// the block's.
const (
	blockSize = 16 << 10
	romBlock  = 1 << 10
	blockMore = 2 + 8 + 16
)

// floor is how many bytes make img of before: each run of sectors that differ
// as the smallest of the zlib streams that are known, in blocks of the largest
// size, escaped.
func floor(before, img []byte) (int, error) {
	sum := 0
	for from := 0; from < len(img); {
		to := from
		for to < len(img) && !sameSector(before, img, to) {
			to = min(to+sectorSize, len(img))
		}
		if to == from {
			from += sectorSize
			continue
		}
		n, err := framed(img[from:to])
		if err != nil {
			return 0, err
		}
		sum, from = sum+n, to
	}
	return sum, nil
}

func sameSector(a, b []byte, at int) bool {
	end := min(at+sectorSize, len(b))
	return end <= len(a) && bytes.Equal(a[at:end], b[at:end])
}

// framed is how many bytes bring p to the loader.
func framed(p []byte) (int, error) {
	best := deflate.Zlib(p)
	for level := zlib.BestSpeed; level <= zlib.BestCompression; level++ {
		var z bytes.Buffer
		w, err := zlib.NewWriterLevel(&z, level)
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(p); err != nil {
			return 0, err
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
		if z.Len() < len(best) {
			best = z.Bytes()
		}
	}
	return escaped(best) + (len(best)+blockSize-1)/blockSize*blockMore, nil
}

// escaped is how many bytes p takes within frames.
func escaped(p []byte) int {
	return len(p) + bytes.Count(p, []byte{0xC0}) + bytes.Count(p, []byte{0xDB})
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
