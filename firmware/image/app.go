package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Sizes and bounds of an app image: esp_app_format.h, esp_app_desc.h and
// esp_image_format.c of ESP-IDF.
const (
	appHeaderSize = 24
	segHeaderSize = 8
	appMagic      = 0xE9
	maxSegments   = 16 // ESP_IMAGE_MAX_SEGMENTS
	checksumSeed  = 0xEF
	checksumAlign = 16
	descMagic     = 0xABCD5432
	descSize      = 256
)

// ErrApp says that bytes are not a whole, unharmed ESP32 app image.
var ErrApp = errors.New("not an ESP32 app image")

// App is what an ESP32 app image says of itself.
type App struct {
	Chip           ChipID
	MinRev, MaxRev uint16 // chip revisions it runs on, major*100 + minor; MaxRev 0xFFFF: no limit
	Entry          uint32 // address of the first instruction
	Segments       []Segment
	Desc           Desc
	Digest         [32]byte // the SHA-256 that ends the image; the chip reports it as app_sha256
	Size           uint32   // bytes up to and with Digest, without a Secure Boot sector
	SecureBoot     bool     // a Secure Boot v2 signature sector follows (not checked here: the chip does)
}

// Segment is one block that the bootloader loads or maps.
type Segment struct {
	Addr   uint32 // where it lies in the chip's address space
	Size   uint32 // bytes, a multiple of 4
	Offset uint32 // of its data in the app image
}

// Desc is esp_app_desc_t, the description that the build system puts at the
// start of the first segment. Its texts are printable ASCII.
type Desc struct {
	SecureVersion uint32 // eFuse anti-rollback
	Version       string
	Project       string
	Time, Date    string
	IDF           string
	ELFSHA256     [32]byte
}

// SKU gives the SKU that the project's name ends with ("robot-platform-basic"
// → "basic"), "" when it names none.
func (d Desc) SKU() string {
	for _, sku := range []string{"basic", "standard", "industrial"} {
		if strings.HasSuffix(d.Project, "-"+sku) {
			return sku
		}
	}
	return ""
}

func appError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrApp, fmt.Errorf(format, args...))
}

// ParseApp reads an ESP32 app image and checks all that its bootloader would:
// header, segments, checksum, appended SHA-256 (mandatory here) and app
// description. Nothing may follow but a Secure Boot v2 signature sector. The
// errors wrap [ErrApp]. ParseApp proves the image whole, not genuine.
func ParseApp(payload []byte) (App, error) {
	app, segments, err := parseAppHeader(payload)
	if err != nil {
		return App{}, err
	}
	end, sum, err := app.parseSegments(payload, segments)
	if err != nil {
		return App{}, err
	}
	if err := app.parseTrailer(payload, end, sum); err != nil {
		return App{}, err
	}
	first := app.Segments[0].Offset
	app.Desc, err = parseDesc(payload[first : first+descSize])
	if err != nil {
		return App{}, err
	}
	return app, nil
}

// parseAppHeader reads esp_image_header_t and gives the number of segments.
func parseAppHeader(b []byte) (App, int, error) {
	if len(b) < appHeaderSize {
		return App{}, 0, appError("%d bytes are too few for its header of %d", len(b), appHeaderSize)
	}
	if len(b) > MaxImageSize {
		return App{}, 0, appError("%d bytes are more than %d", len(b), MaxImageSize)
	}
	if b[0] != appMagic {
		return App{}, 0, appError("it begins with %#02x instead of %#02x", b[0], appMagic)
	}
	segments := int(b[1])
	if segments < 1 || segments > maxSegments {
		return App{}, 0, appError("it counts %d segments, want 1 to %d", segments, maxSegments)
	}
	app := App{
		Entry:  binary.LittleEndian.Uint32(b[4:]),
		Chip:   ChipID(binary.LittleEndian.Uint16(b[12:])),
		MinRev: binary.LittleEndian.Uint16(b[15:]),
		MaxRev: binary.LittleEndian.Uint16(b[17:]),
	}
	if app.Chip == AnyChip {
		return App{}, 0, appError("its chip id is %#04x, which means none", uint16(AnyChip))
	}
	if b[23] != 1 {
		return App{}, 0, appError("it has no SHA-256 appended (hash_appended is %d); build it without --dont-append-digest", b[23])
	}
	return app, segments, nil
}

// parseSegments walks the segments and gives the offset after the last one and
// the XOR of their data.
func (a *App) parseSegments(b []byte, count int) (end int, sum byte, err error) {
	at, sum := appHeaderSize, byte(checksumSeed)
	for i := range count {
		if len(b)-at < segHeaderSize {
			return 0, 0, appError("it ends inside the header of segment %d", i)
		}
		seg, err := parseSegment(b[at:], i, uint32(at+segHeaderSize), uint32(len(b)-at-segHeaderSize))
		if err != nil {
			return 0, 0, err
		}
		a.Segments = append(a.Segments, seg)
		at = int(seg.Offset + seg.Size)
		for _, c := range b[seg.Offset:at] {
			sum ^= c
		}
	}
	return at, sum, nil
}

// parseSegment reads the header of segment i, whose data begin at offset, with
// left bytes to the end of the image.
func parseSegment(header []byte, i int, offset, left uint32) (Segment, error) {
	s := Segment{Addr: binary.LittleEndian.Uint32(header), Size: binary.LittleEndian.Uint32(header[4:]), Offset: offset}
	// Compared unsigned and before any addition; left is below MaxImageSize: a
	// length near 2^31 or 2^32 wraps nothing.
	switch {
	case s.Size > left:
		return Segment{}, appError("segment %d claims %d bytes, %d are left", i, s.Size, left)
	case s.Size%4 != 0:
		return Segment{}, appError("segment %d has %d bytes, not a multiple of 4", i, s.Size)
	case i == 0 && s.Size < descSize:
		return Segment{}, appError("the first segment has %d bytes, too few for an app description (%d)", s.Size, descSize)
	}
	return s, nil
}

// parseTrailer checks what follows the segments: padding with the checksum as
// its last byte, the SHA-256 of all before, perhaps a Secure Boot sector.
func (a *App) parseTrailer(b []byte, end int, sum byte) error {
	hashed := (end/checksumAlign + 1) * checksumAlign
	if len(b)-hashed < sha256.Size {
		return appError("it ends before its checksum and SHA-256: %d bytes, want %d", len(b), hashed+sha256.Size)
	}
	if b[hashed-1] != sum {
		return appError("its checksum is %#02x, its segments give %#02x: the file is damaged", b[hashed-1], sum)
	}
	a.Digest = [32]byte(b[hashed : hashed+sha256.Size])
	if a.Digest != sha256.Sum256(b[:hashed]) {
		return appError("its appended SHA-256 is not that of its bytes: the file is damaged or was patched after the build")
	}
	a.Size = uint32(hashed + sha256.Size)
	if int(a.Size) == len(b) {
		return nil
	}
	if !isSecureBootSector(b, int(a.Size)) {
		return appError("%d bytes follow its end that are no Secure Boot v2 signature", len(b)-int(a.Size))
	}
	a.SecureBoot = true
	return nil
}

// parseDesc reads esp_app_desc_t.
func parseDesc(b []byte) (Desc, error) {
	if m := binary.LittleEndian.Uint32(b); m != descMagic {
		return Desc{}, appError("no app description at its start: %#08x instead of %#08x", m, uint32(descMagic))
	}
	d := Desc{SecureVersion: binary.LittleEndian.Uint32(b[4:]), ELFSHA256: [32]byte(b[144:176])}
	for _, f := range []struct {
		name string
		to   *string
		raw  []byte
	}{
		{"version", &d.Version, b[16:48]},
		{"project name", &d.Project, b[48:80]},
		{"time", &d.Time, b[80:96]},
		{"date", &d.Date, b[96:112]},
		{"IDF version", &d.IDF, b[112:144]},
	} {
		text, _, ok := bytes.Cut(f.raw, []byte{0})
		if !ok {
			return Desc{}, appError("the %s in its app description does not end", f.name)
		}
		if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return Desc{}, appError("the %s in its app description is not printable: %q", f.name, text)
		}
		*f.to = string(text)
	}
	return d, nil
}
