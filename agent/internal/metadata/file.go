package metadata

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/robot-platform/robot-ota/firmware/strictjson"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

const (
	schema = 1
	// maxRecord bounds a copy: the documents in base64, and a few words.
	maxRecord = 2*(tuf.MaxRoot+tuf.MaxTimestamp+tuf.MaxSnapshot+tuf.MaxTargets) + 4096
)

// accepted is what is kept.
type accepted struct {
	number  uint64 // counts what was written
	renewed time.Time
	held    tuf.Held
}

// record is the form of a copy.
type record struct {
	Schema    int       `json:"schema"`
	Number    uint64    `json:"number"`
	Renewed   time.Time `json:"renewed"` // zero: never all of it
	Root      []byte    `json:"root"`
	Timestamp []byte    `json:"timestamp"`
	Snapshot  []byte    `json:"snapshot"`
	Targets   []byte    `json:"targets"`
	Digest    string    `json:"digest"` // of all before it, hex
}

// digest finds what the form alone does not: a flipped digit leaves JSON that
// looks as well as before.
func (r record) digest() string {
	h := sha256.New()
	for _, part := range [][]byte{fmt.Appendf(nil, "%d %d %d", r.Schema, r.Number, r.Renewed.UnixNano()), r.Root, r.Timestamp, r.Snapshot, r.Targets} {
		_, _ = fmt.Fprintf(h, "%d:", len(part)) // a hash takes everything
		_, _ = h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func encode(a accepted) ([]byte, error) {
	r := record{
		Schema: schema, Number: a.number, Renewed: a.renewed.UTC(), Root: orEmpty(a.held.Root),
		Timestamp: orEmpty(a.held.Timestamp), Snapshot: orEmpty(a.held.Snapshot), Targets: orEmpty(a.held.Targets),
	}
	r.Digest = r.digest()
	return json.Marshal(r)
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{} // null is none
	}
	return b
}

// errLater is a copy that an agent of a later version wrote.
var errLater = errors.New("it was written by a newer agent: install that one again")

func decode(b []byte) (accepted, error) {
	var r record
	if len(b) > maxRecord {
		return accepted{}, fmt.Errorf("it has more than %d bytes", maxRecord)
	}
	err := strictjson.Fill(b,
		strictjson.Field{Name: "schema", Into: &r.Schema}, strictjson.Field{Name: "number", Into: &r.Number},
		strictjson.Field{Name: "renewed", Into: &r.Renewed}, strictjson.Field{Name: "root", Into: &r.Root},
		strictjson.Field{Name: "timestamp", Into: &r.Timestamp}, strictjson.Field{Name: "snapshot", Into: &r.Snapshot},
		strictjson.Field{Name: "targets", Into: &r.Targets}, strictjson.Field{Name: "digest", Into: &r.Digest})
	if r.Schema > schema {
		return accepted{}, errLater
	}
	if err != nil {
		return accepted{}, err
	}
	if r.Digest != r.digest() {
		return accepted{}, errors.New("it is not what was written")
	}
	none := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		return b
	}
	return accepted{number: r.Number, renewed: r.Renewed, held: tuf.Held{
		Root: none(r.Root), Timestamp: none(r.Timestamp), Snapshot: none(r.Snapshot), Targets: none(r.Targets),
	}}, nil
}

// folder is the state directory.
type folder struct {
	disk disk.Disk
	dir  string
}

func (f folder) copies() []string {
	return []string{filepath.Join(f.dir, "metadata.json"), filepath.Join(f.dir, "metadata.copy.json")}
}

// newFolder prepares the state directory. What is found in it survives a power
// cut from then on (see disk.Disk.MkdirAll): a save that failed late may have left
// a file that would not.
func newFolder(d disk.Disk, dir string) (folder, error) {
	if err := d.MkdirAll(dir, 0o700); err != nil {
		return folder{}, fmt.Errorf("state directory: %w", err)
	}
	return folder{disk: d, dir: dir}, nil
}

// load gives what was accepted, zero where nothing ever was, and mends a copy
// that is not as the other. mended says what was wrong with it.
func (f folder) load() (a accepted, mended, err error) {
	first, errFirst := f.read(f.copies()[0])
	second, errSecond := f.read(f.copies()[1])
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	switch {
	case missing(errFirst) && missing(errSecond):
		return accepted{}, nil, nil
	case errors.Is(errFirst, errLater) || errors.Is(errSecond, errLater):
		return accepted{}, nil, errLater
	case errFirst != nil && errSecond != nil:
		return accepted{}, nil, errors.Join(errFirst, errSecond)
	case errFirst == nil && errSecond == nil && first.number == second.number:
		return first, nil, nil
	}
	good, bad, why := first, f.copies()[1], errSecond
	if errFirst != nil || errSecond == nil && second.number > first.number {
		good, bad, why = second, f.copies()[0], errFirst
	}
	if why != nil && !missing(why) {
		if err := f.disk.Rename(bad, bad+".damaged"); err != nil {
			return good, errors.Join(why, err), nil
		}
		why = fmt.Errorf("%w; it was put aside as %s.damaged", why, bad)
	}
	return good, errors.Join(why, f.put(bad, good)), nil
}

// save makes what is accepted durable. An error leaves what was before; what
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

func (f folder) read(path string) (accepted, error) {
	info, err := f.disk.Lstat(path)
	if err != nil {
		return accepted{}, err
	}
	if !info.Mode().IsRegular() {
		return accepted{}, fmt.Errorf("%s: is no regular file", path)
	}
	b, err := f.disk.ReadFile(path, maxRecord)
	if err != nil {
		return accepted{}, err
	}
	a, err := decode(b)
	if err != nil {
		return accepted{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}
