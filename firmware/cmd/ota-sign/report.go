package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/robot-platform/robot-ota/firmware/image"
)

const (
	kindSigned  = "signed"
	kindBare    = "bare"
	kindUnknown = "unknown"
)

// report is what there is to say of a file, for people and, as JSON, for
// programs.
type report struct {
	File     string        `json:"file"`
	Kind     string        `json:"kind"`   // signed or bare
	Proved   bool          `json:"proved"` // a known key has signed it
	Key      string        `json:"key,omitempty"`
	Size     int           `json:"size"`   // of the file, bytes
	SHA256   string        `json:"sha256"` // of the file, as offers and triggers name it
	Header   *headerReport `json:"header,omitempty"`
	App      *appReport    `json:"app,omitempty"`
	Problems []string      `json:"problems,omitempty"`
}

type headerReport struct {
	Version   string `json:"version"`
	ImageSize uint32 `json:"image_size"`
	SHA256    string `json:"sha256"`
	Signature string `json:"signature"`
}

type appReport struct {
	Version       string `json:"version"`
	Project       string `json:"project"`
	SKU           string `json:"sku,omitempty"`
	Chip          string `json:"chip"`
	MinRev        uint16 `json:"min_chip_rev"`
	MaxRev        uint16 `json:"max_chip_rev"`
	SecureVersion uint32 `json:"secure_version"`
	IDF           string `json:"idf"`
	Built         string `json:"built"`
	Size          uint32 `json:"size"`
	Segments      int    `json:"segments"`
	AppSHA256     string `json:"app_sha256"` // as the running firmware reports it
	ELFSHA256     string `json:"elf_sha256"`
	SecureBoot    bool   `json:"secure_boot_v2"`
}

// newReport reads a signed or bare image without proving anything.
func newReport(path string, b []byte) report {
	sum := sha256.Sum256(b)
	r := report{File: path, Kind: kindBare, Size: len(b), SHA256: hex.EncodeToString(sum[:])}
	payload := b
	if isSigned(b) {
		r.Kind = kindSigned
		h, err := image.ParseHeader(b)
		if err != nil {
			r.problem("%v", err)
			return r
		}
		payload = b[image.HeaderSize:]
		r.addHeader(h, payload)
	}
	app, err := image.ParseApp(payload)
	if err != nil {
		if r.problem("%v", err); r.Kind == kindBare {
			r.Kind = kindUnknown
		}
		return r
	}
	r.addApp(app)
	if r.Header != nil && r.Header.Version != strings.TrimPrefix(r.App.Version, "v") {
		r.problem("the header says version %s, the app description %s", r.Header.Version, r.App.Version)
	}
	return r
}

func (r *report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *report) addHeader(h image.Header, payload []byte) {
	r.Header = &headerReport{
		Version: h.Version.String(), ImageSize: h.ImageSize,
		SHA256: hex.EncodeToString(h.SHA256[:]), Signature: hex.EncodeToString(h.Signature[:]),
	}
	if int(h.ImageSize) != len(payload) {
		r.problem("the header says %d bytes, %d follow it", h.ImageSize, len(payload))
	}
	if sum := sha256.Sum256(payload); !bytes.Equal(sum[:], h.SHA256[:]) {
		r.problem("the SHA-256 of what follows the header is %x", sum)
	}
	if h.Signature == [64]byte{} {
		r.problem("the signature is empty")
	}
}

func (r *report) addApp(a image.App) {
	d := a.Desc
	r.App = &appReport{
		Version: d.Version, Project: d.Project, SKU: d.SKU(), Chip: a.Chip.String(),
		MinRev: a.MinRev, MaxRev: a.MaxRev, SecureVersion: d.SecureVersion, IDF: d.IDF,
		Built: strings.TrimSpace(d.Date + " " + d.Time), Size: a.Size, Segments: len(a.Segments),
		AppSHA256: hex.EncodeToString(a.Digest[:]), ELFSHA256: hex.EncodeToString(d.ELFSHA256[:]), SecureBoot: a.SecureBoot,
	}
}

// write prints the report.
func (r report) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(out, r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("file", "%s (%s image, %d bytes)", r.File, r.Kind, r.Size)
	row("sha256", "%s", r.SHA256)
	if h := r.Header; h != nil {
		row("header version", "%s", h.Version)
		row("image size", "%d", h.ImageSize)
		row("image sha256", "%s", h.SHA256)
		row("signature r", "%s", h.Signature[:64])
		row("signature s", "%s", h.Signature[64:])
	}
	if a := r.App; a != nil {
		sku := a.SKU
		if sku == "" {
			sku = "not named"
		}
		row("version", "%s", a.Version)
		row("project", "%s", a.Project)
		row("sku", "%s", sku)
		row("chip", "%s, revisions %s", a.Chip, revisions(a.MinRev, a.MaxRev))
		row("secure version", "%d", a.SecureVersion)
		row("built", "%s with ESP-IDF %s", a.Built, a.IDF)
		row("app", "%d bytes, segments: %d, Secure Boot v2 signature: %s", a.Size, a.Segments, yesNo(a.SecureBoot))
		row("app sha256", "%s", a.AppSHA256)
		row("elf sha256", "%s", a.ELFSHA256)
	}
	for _, p := range r.Problems {
		row("PROBLEM", "%s", p)
	}
	if r.Proved {
		row("proved", "signed by key %s", r.Key)
	} else {
		row("proved", "nothing: no signature was checked; use: ota-sign verify --key PUBLIC FILE")
	}
	return w.Flush()
}

// revisions writes chip revisions, major*100 + minor, as esptool does.
func revisions(low, high uint16) string {
	text := fmt.Sprintf("v%d.%d", low/100, low%100)
	if high == 0xFFFF {
		return text + " and later"
	}
	return fmt.Sprintf("%s to v%d.%d", text, high/100, high%100)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
