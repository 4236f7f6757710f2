package metadata

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/firmware/strictjson"
	"github.com/robot-platform/robot-ota/internal/disk"
	"github.com/robot-platform/robot-ota/internal/disk/twin"
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
		return accepted{}, twin.ErrLater
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

// newFile is where it lies in the state directory.
func newFile(d disk.Disk, dir string) twin.File[accepted] {
	return twin.File[accepted]{
		Disk: d, Dir: dir, Name: "metadata", Max: maxRecord, Encode: encode, Decode: decode,
		Order: func(a, b accepted) (int, error) { return cmp.Compare(a.number, b.number), nil },
	}
}
