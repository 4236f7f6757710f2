package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

func TestHeaderGolden(t *testing.T) {
	b := golden(t)
	h, err := image.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.Version != (compat.Version{Major: 1, Minor: 2, Patch: 3}) || h.ImageSize != 352 || h.SHA256[0] != 0xBA || h.Signature[63] != 0x46 {
		t.Errorf("read as %+v", h)
	}
	if got := h.AppendTo([]byte("x")); !bytes.Equal(got[1:], b[:image.HeaderSize]) {
		t.Errorf("written as % x", got)
	}
}

func TestAppGolden(t *testing.T) {
	app, err := image.ParseApp(golden(t)[image.HeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	d := app.Desc
	if app.Chip != image.ESP32S3 || app.Entry != 0x40374000 || app.MinRev != 0 || app.MaxRev != 99 || app.Size != 352 || app.SecureBoot {
		t.Errorf("read as %+v", app)
	}
	want := []image.Segment{{Addr: 0x3C000020, Size: 0x104, Offset: 0x20}, {Addr: 0x40374000, Size: 8, Offset: 0x12C}}
	if len(app.Segments) != 2 || app.Segments[0] != want[0] || app.Segments[1] != want[1] {
		t.Errorf("segments %+v, want %+v", app.Segments, want)
	}
	if d.SecureVersion != 3 || d.Version != "1.2.3" || d.Project != "robot-platform-standard" || d.Time != "08:15:00" ||
		d.Date != "Mar  4 2026" || d.IDF != "v5.5.1" || d.ELFSHA256[31] != 131 || d.SKU() != "standard" {
		t.Errorf("described as %+v", d)
	}
}

func TestSKU(t *testing.T) {
	for project, want := range map[string]string{
		"robot-platform-basic": "basic", "robot-platform-standard": "standard", "robot-platform-industrial": "industrial",
		"robot-platform": "", "basic": "", "robot-basic-test": "", "": "", "robotbasic": "",
	} {
		if got := (image.Desc{Project: project}).SKU(); got != want {
			t.Errorf("%q names %q, want %q", project, got, want)
		}
	}
}

// segments builds an image of the given segments' data.
func segments(data ...[]byte) []byte {
	b := append(with(imagetest.App(imagetest.Options{})[:24], 1, byte(len(data))), []byte{}...)
	for _, d := range data {
		b = append(b, le32(0x3C000020)...)
		b = append(b, le32(uint32(len(d)))...)
		b = append(b, d...)
	}
	return imagetest.Seal(b, data...)
}

func TestAppAccepted(t *testing.T) {
	app := imagetest.App(imagetest.Options{})
	desc := app[32 : 32+256]
	long := strings.Repeat("v", 31)
	many := [][]byte{desc}
	for range 15 {
		many = append(many, []byte("four"))
	}
	for name, b := range map[string][]byte{
		"small":             app,
		"no room to pad":    imagetest.App(imagetest.Options{Body: make([]byte, 12)}), // segments end at 300: 3 bytes of padding
		"sixteen segments":  segments(many...),
		"empty segment":     segments(desc, nil),
		"longest text":      imagetest.App(imagetest.Options{Project: long}),
		"unknown chip":      imagetest.App(imagetest.Options{Chip: 77, ChipSet: true}),
		"secure boot":       secureBoot(app, 1),
		"secure boot, 3":    secureBoot(app, 3),
		"whole sectors, SB": secureBoot(imagetest.App(imagetest.Options{Body: make([]byte, 4096-336)}), 1),
	} {
		got, err := image.ParseApp(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sb := strings.Contains(name, "ecure") || strings.Contains(name, "SB"); got.SecureBoot != sb || !sb && int(got.Size) != len(b) {
			t.Errorf("%s: %d of %d bytes, secure boot %v", name, got.Size, len(b), got.SecureBoot)
		}
	}
}

// secureBoot appends a Secure Boot v2 sector with n signature blocks.
func secureBoot(app []byte, n int) []byte {
	b := bytes.Clone(app)
	for len(b)%4096 != 0 {
		b = append(b, 0xFF)
	}
	sector := bytes.Repeat([]byte{0xFF}, 4096)
	for i := range n {
		block := sector[i*1216:][:1216]
		clear(block)
		block[0], block[1] = 0xE7, byte(2+i%2)
		binary.LittleEndian.PutUint32(block[1196:], crc32.ChecksumIEEE(block[:1196]))
	}
	return append(b, sector...)
}

func TestAppRefused(t *testing.T) {
	app := imagetest.App(imagetest.Options{})
	end := len(app)
	seal2 := func(at int, put ...byte) []byte { return rehash(with(app, at, put...)) } // hash right, rest as changed
	sb := secureBoot(app, 1)
	for _, c := range []struct {
		name string
		app  []byte
		says string
	}{
		{"empty", nil, "too few for its header"},
		{"half a header", app[:23], "23 bytes are too few"},
		{"too large", make([]byte, image.MaxImageSize+1), "more than 16777216"},
		{"an ELF file", with(app, 0, 0x7F), "begins with 0x7f"},
		{"no segments", with(app, 1, 0), "0 segments"},
		{"17 segments", with(app, 1, 17), "17 segments"},
		{"255 segments", with(app, 1, 255), "255 segments"},
		{"one segment more than there is", with(app, 1, 2), "SHA-256 is not"},
		{"ends in a segment's header", with(app[:24+8+256+4], 1, 2), "inside the header of segment 1"},
		{"chip id none", with(app, 12, 0xFF, 0xFF), "chip id is 0xffff"},
		{"no hash", with(app, 23, 0), "no SHA-256 appended"},
		{"hash flag odd", with(app, 23, 0x81), "no SHA-256 appended"},
		{"segment length odd", with(app, 28, le32(257)...), "not a multiple of 4"},
		{"segment one word longer than the file", with(app, 28, le32(uint32(end-32+4))...), "are left"},
		{"segment of 16 MiB", with(app, 28, le32(16<<20)...), "claims 16777216"},
		{"segment of 2^31-4", with(app, 28, le32(1<<31-4)...), "claims 2147483644"},
		{"segment of 2^31", with(app, 28, le32(1<<31)...), "claims 2147483648"},
		{"segment that wraps to the start", with(app, 28, le32(1<<32-32)...), "claims 4294967264"},
		{"segment of 2^32-4", with(app, 28, le32(1<<32-4)...), "claims 4294967292"},
		{"segment takes the hash", with(app, 28, le32(uint32(end-32))...), "ends before its checksum"},
		{"no segment left for the description", segments(make([]byte, 252)), "252 bytes, too few for an app description"},
		{"cut in the checksum", app[:24+8+256+10], "ends before its checksum"},
		{"cut in the hash", app[:end-1], "ends before its checksum"},
		{"data changed", with(app, 200, 0xAA), "its segments give"},
		{"data changed, hash made right", seal2(200, 0xAA), "its segments give"},
		{"checksum changed, hash made right", seal2(end-33, 0), "checksum is 0x00"},
		{"header patched", with(app, 2, 0), "patched after the build"},
		{"padding changed", with(app, end-34, 1), "SHA-256 is not"},
		{"hash changed", with(app, end-1, app[end-1]^1), "SHA-256 is not"},
		{"a byte follows", append(bytes.Clone(app), 0xFF), "1 bytes follow"},
		{"an app follows", append(bytes.Clone(app), app...), "follow its end"},
		{"padding alone follows", sb[:4096], "follow its end"},
		{"signature sector without padding", append(bytes.Clone(app), sb[4096:]...), "follow its end"},
		{"signature sector not blank before", with(sb, 4095, 0), "follow its end"},
		{"signature sector not blank behind", with(sb, 8191, 0), "follow its end"},
		{"signature sector cut", sb[:8191], "follow its end"},
		{"signature sector and more", append(bytes.Clone(sb), 0xFF), "follow its end"},
		{"signature sector blank", with(sb, 4096, bytes.Repeat([]byte{0xFF}, 4096)...), "follow its end"},
		{"signature block of another version", with(sb, 4097, 4), "follow its end"},
		{"signature block damaged", with(sb, 4100, 1), "follow its end"},
		{"no description", reseal(with(app, 32, 0)), "no app description"},
		{"version does not end", reseal(with(app, 48, bytes.Repeat([]byte{'v'}, 32)...)), "the version in its app description does not end"},
		{"project not printable", reseal(with(app, 80, 0x1B)), "the project name in its app description is not printable"},
		{"time not ASCII", reseal(with(app, 112, 0xC3, 0xA9)), "the time in"},
		{"date with DEL", reseal(with(app, 128, 0x7F)), "the date in"},
		{"IDF version with a line feed", reseal(with(app, 144, '\n')), "the IDF version in"},
	} {
		_, err := image.ParseApp(c.app)
		if !errors.Is(err, image.ErrApp) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.says)
		}
	}
}

// reseal makes checksum and hash of a one-segment image right again.
func reseal(b []byte) []byte {
	seg := b[32 : 32+int(binary.LittleEndian.Uint32(b[28:]))]
	return imagetest.Seal(bytes.Clone(b[:32+len(seg)]), seg)
}

// TestOutline reads an image as it lies in a chip's flash: with other bytes
// behind it, and damaged where an outline does not look.
func TestOutline(t *testing.T) {
	app := golden(t)[image.HeaderSize:]
	want, err := image.ParseApp(app)
	if err != nil {
		t.Fatal(err)
	}
	slot := append(bytes.Clone(app), bytes.Repeat([]byte{0xFF}, 4096)...)
	slot[0x20+0x102] ^= 1 // in the first segment, behind the description
	got, err := image.ParseOutline(bytes.NewReader(slot), uint32(len(slot)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, %v, want %+v", got, err, want)
	}
	n := uint32(len(app))
	for _, c := range []struct {
		name string
		app  []byte
		room uint32
		says string
	}{
		{"erased flash", bytes.Repeat([]byte{0xFF}, 4096), 4096, "begins with 0xff"},
		{"no room for a header", app, 100, "past the 100 bytes"},
		{"no room for the second segment", app, 0x12B, "past the 299 bytes"},
		{"no room for the hash", app, n - 1, "past the 351 bytes"},
		{"no room for the padding", app, 0x136, "past the 310 bytes"},
		{"segment of 2^32-4", with(app, 28, le32(1<<32-4)...), 1<<32 - 1, "claims 4294967292"},
		{"segment of 16 MiB", with(app, 28, le32(16<<20)...), 1<<32 - 1, "claims 16777216"},
		{"first segment too small", with(app, 28, le32(252)...), n, "too few for an app description"},
		{"no description", with(app, 32, 0), n, "no app description"},
	} {
		_, err := image.ParseOutline(bytes.NewReader(c.app), c.room)
		if !errors.Is(err, image.ErrApp) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.says)
		}
	}
	// A line that fails is not an image that is none.
	if _, err := image.ParseOutline(bytes.NewReader(app[:300]), n); errors.Is(err, image.ErrApp) || !errors.Is(err, io.EOF) {
		t.Errorf("a read that fails: %v", err)
	}
}

func TestChips(t *testing.T) {
	for name, id := range map[string]image.ChipID{
		"esp32": 0, "esp32s2": 2, "esp32c3": 5, "esp32s3": 9, "esp32c2": 12, "esp32c6": 13, "esp32h2": 16, "esp32p4": 18, "esp32c61": 20, "esp32c5": 23,
	} {
		if got, err := image.ParseChip(name); err != nil || got != id || id.String() != name {
			t.Errorf("%s is %d, %v, and %d is %v", name, got, err, id, id)
		}
	}
	if got, err := image.ParseChip("ESP32-S3"); err != nil || got != image.ESP32S3 {
		t.Errorf("ESP32-S3 is %v, %v", got, err)
	}
	for _, bad := range []string{"", "esp8266", "s3", "any chip"} {
		if got, err := image.ParseChip(bad); err == nil || got != image.AnyChip {
			t.Errorf("%q is %v", bad, got)
		}
	}
	if image.ChipID(77).String() != "unknown chip 77" || image.AnyChip.String() != "any chip" {
		t.Errorf("%v, %v", image.ChipID(77), image.AnyChip)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(golden(f)[:136])
	f.Add([]byte("OBOR"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := image.ParseHeader(b)
		if err != nil {
			if !errors.Is(err, image.ErrNotSigned) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(h.AppendTo(nil), b[:image.HeaderSize]) {
			t.Fatal("a header is not written as it was read")
		}
	})
}

func FuzzParseApp(f *testing.F) {
	f.Add(golden(f)[136:])
	f.Add(imagetest.App(imagetest.Options{}))
	f.Add(secureBoot(imagetest.App(imagetest.Options{}), 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		candidates := [][]byte{b}
		if len(b) > 300 { // and with its checks made right, to get behind them
			if n := 32 + int(b[28])&^3; n <= len(b) && n > 32 {
				fixed := with(b[:n], 1, 1)
				candidates = append(candidates, imagetest.Seal(with(fixed, 28, le32(uint32(n-32))...), fixed[32:n]))
			}
			if len(b) < 8192 && len(b)%16 == 0 {
				candidates = append(candidates, rehash(b))
			}
		}
		for _, b := range candidates {
			app, err := image.ParseApp(b)
			if err != nil {
				if !errors.Is(err, image.ErrApp) {
					t.Fatal(err)
				}
				continue
			}
			if int(app.Size) > len(b) || len(app.Segments) < 1 || len(app.Segments) > 16 {
				t.Fatalf("%d bytes are read as %+v", len(b), app)
			}
			at := uint32(24)
			for _, s := range app.Segments {
				if at += 8; s.Offset != at || s.Size%4 != 0 {
					t.Fatalf("segment %+v at %d", s, at)
				}
				at += s.Size
			}
			outline, err := image.ParseOutline(bytes.NewReader(b), uint32(len(b)))
			outline.SecureBoot = app.SecureBoot
			if err != nil || !reflect.DeepEqual(outline, app) {
				t.Fatalf("%+v has the outline %+v, %v", app, outline, err)
			}
			if at >= app.Size || app.Size-at > 48 {
				t.Fatalf("segments end at %d of %d", at, app.Size)
			}
		}
	})
}
