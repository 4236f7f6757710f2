package trust

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/strictjson"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/twin"
)

const (
	schema = 1
	// maxRecord bounds a copy: a document, indented once more, and a few words.
	maxRecord = 4 * keyring.MaxDocument
)

// A DamagedError says that an accepted document cannot be read any more, and
// that nobody is trusted until it is removed.
type DamagedError struct {
	Paths []string // both copies
	Cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the accepted keyring cannot be read, so what it revoked is not known (%v): list the revoked keys in trust.revoked, remove %s and %s, and restart the agent",
		e.Cause, e.Paths[0], e.Paths[1])
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// Code names the failure for machines.
func (*DamagedError) Code() string { return "keyring_damaged" }

// accepted is a document and how it came.
type accepted struct {
	doc  keyring.Document
	at   time.Time
	from string
}

// record is the form of a copy.
type record struct {
	Schema   int             `json:"schema"`
	At       time.Time       `json:"accepted"`
	From     string          `json:"from"`
	Digest   string          `json:"digest"` // of the document, hex
	Document json.RawMessage `json:"document"`
}

func digest(d keyring.Document) string {
	sum := d.Digest()
	return hex.EncodeToString(sum[:])
}

func encode(a accepted) ([]byte, error) {
	b, err := json.MarshalIndent(record{Schema: schema, At: a.at, From: a.from, Digest: digest(a.doc), Document: a.doc.Encode()}, "", "  ")
	return append(b, '\n'), err
}

// decode reads a copy. The digest finds what the form alone does not: a
// flipped digit in a revoked id leaves a document that looks as well as before.
func decode(b []byte) (accepted, error) {
	var r record
	if len(b) > maxRecord {
		return accepted{}, fmt.Errorf("it has more than %d bytes", maxRecord)
	}
	err := strictjson.Fill(b,
		strictjson.Field{Name: "schema", Into: &r.Schema}, strictjson.Field{Name: "accepted", Into: &r.At},
		strictjson.Field{Name: "from", Into: &r.From}, strictjson.Field{Name: "digest", Into: &r.Digest},
		strictjson.Field{Name: "document", Into: &r.Document})
	if r.Schema > schema {
		return accepted{}, twin.ErrLater
	}
	if err != nil {
		return accepted{}, err
	}
	d, err := keyring.Parse(r.Document)
	if err != nil {
		return accepted{}, err
	}
	if r.Digest != digest(d) {
		return accepted{}, errors.New("its document is not the one that was written")
	}
	return accepted{doc: d, at: r.At, from: r.From}, nil
}

// file is where the accepted document lies in the state directory.
type file struct{ twin.File[accepted] }

func newFile(d disk.Disk, dir string) file {
	return file{twin.File[accepted]{
		Disk: d, Dir: dir, Name: "keyring", Max: maxRecord, Encode: encode, Decode: decode, Order: order,
	}}
}

func order(a, b accepted) (int, error) {
	if a.doc.Version() == b.doc.Version() && digest(a.doc) != digest(b.doc) {
		return 0, fmt.Errorf("the copies say two things under version %d", a.doc.Version())
	}
	return cmp.Compare(a.doc.Version(), b.doc.Version()), nil
}

// load gives the accepted document, zero where none ever was. mended says what
// was wrong with a copy.
func (f file) load() (a accepted, mended, err error) {
	a, mended, err = f.Load()
	if err != nil {
		return accepted{}, nil, &DamagedError{Paths: f.Paths(), Cause: err}
	}
	return a, mended, nil
}
