package trust

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/firmware/strictjson"
	"github.com/robot-platform/robot-ota/internal/disk"
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

// errLater is a copy that an agent of a later version wrote.
var errLater = errors.New("it was written by a newer agent: install that one again")

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
		return accepted{}, errLater
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

// folder is the state directory.
type folder struct {
	disk disk.Disk
	dir  string
}

func (f folder) copies() []string {
	return []string{filepath.Join(f.dir, "keyring.json"), filepath.Join(f.dir, "keyring.copy.json")}
}

// found is what one copy holds.
type found struct {
	path string
	accepted
	err error // fs.ErrNotExist where there is no such file
}

// load gives the accepted document, zero where none ever was, and mends a copy
// that is not as the other. mended says what was wrong with it.
func (f folder) load() (a accepted, mended, err error) {
	first, second := f.read(f.copies()[0]), f.read(f.copies()[1])
	switch {
	case errors.Is(first.err, errLater) || errors.Is(second.err, errLater):
		return accepted{}, nil, &DamagedError{Paths: f.copies(), Cause: errLater}
	case errors.Is(first.err, fs.ErrNotExist) && errors.Is(second.err, fs.ErrNotExist):
		return accepted{}, nil, nil
	case first.err != nil && second.err != nil:
		return accepted{}, nil, &DamagedError{Paths: f.copies(), Cause: errors.Join(first.err, second.err)}
	}
	good, bad := first, second
	if first.err != nil || second.err == nil && second.doc.Version() > first.doc.Version() {
		good, bad = second, first
	}
	if bad.err == nil && digest(bad.doc) == digest(good.doc) {
		return good.accepted, nil, nil
	}
	if bad.err == nil && bad.doc.Version() == good.doc.Version() {
		return accepted{}, nil, &DamagedError{Paths: f.copies(), Cause: fmt.Errorf("the copies say two things under version %d", good.doc.Version())}
	}
	return good.accepted, f.mend(good, bad), nil
}

// mend makes a copy anew from the other. What cannot be mended now is mended
// at the next start.
func (f folder) mend(good, bad found) error {
	if bad.err != nil && !errors.Is(bad.err, fs.ErrNotExist) {
		if err := f.disk.Rename(bad.path, bad.path+".damaged"); err != nil {
			return errors.Join(bad.err, err)
		}
		bad.err = fmt.Errorf("%w; it was put aside as %s.damaged", bad.err, bad.path)
	}
	return errors.Join(bad.err, f.put(bad.path, good.accepted))
}

// save makes a document the accepted one. An error leaves the one before; what
// went wrong with the second copy alone does not count, and is told in spare.
func (f folder) save(a accepted) (spare, err error) {
	if err := f.put(f.copies()[0], a); err != nil {
		return nil, err
	}
	return f.put(f.copies()[1], a), nil
}

func (f folder) put(path string, a accepted) error {
	b, err := encode(a)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.disk.WriteFile(path, b, 0o600)
}

func (f folder) read(path string) found {
	b, err := f.readBounded(path)
	if err != nil {
		return found{path: path, err: err}
	}
	a, err := decode(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return found{path: path, accepted: a, err: err}
}

func (f folder) readBounded(path string) ([]byte, error) {
	info, err := f.disk.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	if info.Size() > maxRecord {
		return nil, fmt.Errorf("%s: has %d bytes, more than the %d it may", path, info.Size(), maxRecord)
	}
	return f.disk.ReadFile(path, maxRecord)
}

// newFolder prepares the state directory.
func newFolder(d disk.Disk, dir string) (folder, error) {
	if err := d.MkdirAll(dir, 0o700); err != nil {
		return folder{}, fmt.Errorf("state directory: %w", err)
	}
	return folder{disk: d, dir: dir}, nil
}
