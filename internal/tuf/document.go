package tuf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The documents.
type (
	Root      = metadata.Metadata[metadata.RootType]
	Targets   = metadata.Metadata[metadata.TargetsType]
	Snapshot  = metadata.Metadata[metadata.SnapshotType]
	Timestamp = metadata.Metadata[metadata.TimestampType]
)

// Role is what a document is.
type Role string

// The roles.
const (
	RoleRoot      Role = metadata.ROOT
	RoleTargets   Role = metadata.TARGETS
	RoleSnapshot  Role = metadata.SNAPSHOT
	RoleTimestamp Role = metadata.TIMESTAMP
)

// Roles lists them, in the order in which they are asked for.
func Roles() []Role { return []Role{RoleRoot, RoleTimestamp, RoleSnapshot, RoleTargets} }

// Bounds of documents.
const (
	MaxRoot       = 64 << 10 // bytes
	MaxTimestamp  = 16 << 10
	MaxSnapshot   = 16 << 10
	MaxTargets    = 2 << 20
	MaxFiles      = 4096 // listed in one targets document
	maxKeys       = 64
	maxSignatures = 64
	// MaxVersion is far beyond what a fleet gets to by counting: a timestamp a
	// second for 68 years.
	MaxVersion = 1<<31 - 1
)

// Max is the most bytes that a document of that role may have.
func (r Role) Max() int64 {
	switch r {
	case RoleRoot:
		return MaxRoot
	case RoleTargets:
		return MaxTargets
	case RoleSnapshot:
		return MaxSnapshot
	default:
		return MaxTimestamp
	}
}

// Name is the file under which a document is served; the timestamp alone has
// no version in it.
func (r Role) Name(version int64) string {
	if r == RoleTimestamp {
		return "timestamp.json"
	}
	return fmt.Sprintf("%d.%s.json", version, r)
}

// RoleOf says what a document says it is.
func RoleOf(b []byte) (Role, error) {
	if len(b) > MaxTargets {
		return "", refused(TooLarge, "it is longer than %d bytes", MaxTargets)
	}
	var is struct {
		Signed struct {
			Type Role `json:"_type"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(b, &is); err != nil || !slices.Contains(Roles(), is.Signed.Type) {
		return "", refused(Malformed, "it is no TUF document")
	}
	return is.Signed.Type, nil
}

// ParseRoot reads a root document. It checks its form and no signature. Errors
// are *Refused.
func ParseRoot(b []byte) (*Root, error) {
	d, err := parse[metadata.RootType](RoleRoot, b)
	if err != nil {
		return nil, err
	}
	s := &d.Signed
	if err := common(RoleRoot, s.SpecVersion, s.Version, s.Expires); err != nil {
		return nil, err
	}
	if !s.ConsistentSnapshot {
		return nil, refused(Malformed, "root: consistent_snapshot is not set")
	}
	if len(s.Keys) > maxKeys {
		return nil, refused(Malformed, "root: it has %d keys, and may have %d", len(s.Keys), maxKeys)
	}
	for id, k := range s.Keys {
		if err := checkKey(id, k); err != nil {
			return nil, refused(Malformed, "root: %v", err)
		}
	}
	for _, role := range Roles() {
		if err := checkRole(s, role); err != nil {
			return nil, err
		}
	}
	if len(s.Roles) != len(Roles()) {
		return nil, refused(Malformed, "root: it names a role that there is not")
	}
	return d, nil
}

// checkRole demands that a role's threshold can be reached, by keys that are
// there, each counted once.
func checkRole(s *metadata.RootType, role Role) error {
	r := s.Roles[string(role)]
	if r == nil {
		return refused(Malformed, "root: it names no keys for %s", role)
	}
	if r.Threshold < 1 || r.Threshold > len(r.KeyIDs) {
		return refused(Malformed, "root: %s has %d keys and a threshold of %d", role, len(r.KeyIDs), r.Threshold)
	}
	for i, id := range r.KeyIDs {
		if s.Keys[id] == nil {
			return refused(Malformed, "root: %s has a key %.16q that is missing", role, id)
		}
		if slices.Contains(r.KeyIDs[:i], id) {
			return refused(Malformed, "root: %s has the key %.16q twice", role, id)
		}
	}
	return nil
}

// ParseTimestamp reads a timestamp document, as ParseRoot does.
func ParseTimestamp(b []byte) (*Timestamp, error) {
	d, err := parse[metadata.TimestampType](RoleTimestamp, b)
	if err != nil {
		return nil, err
	}
	s := &d.Signed
	if err := common(RoleTimestamp, s.SpecVersion, s.Version, s.Expires); err != nil {
		return nil, err
	}
	return d, checkMeta(RoleTimestamp, s.Meta, RoleSnapshot)
}

// ParseSnapshot reads a snapshot document, as ParseRoot does.
func ParseSnapshot(b []byte) (*Snapshot, error) {
	d, err := parse[metadata.SnapshotType](RoleSnapshot, b)
	if err != nil {
		return nil, err
	}
	s := &d.Signed
	if err := common(RoleSnapshot, s.SpecVersion, s.Version, s.Expires); err != nil {
		return nil, err
	}
	return d, checkMeta(RoleSnapshot, s.Meta, RoleTargets)
}

// checkMeta demands that a document names the next one by version, length and
// hash: so nobody can put another of that version in its place.
func checkMeta(of Role, meta map[string]*metadata.MetaFiles, next Role) error {
	m := meta[string(next)+".json"]
	switch {
	case m == nil || len(meta) != 1:
		return refused(Malformed, "%s: want it to name %s.json and nothing else", of, next)
	case m.Version < 1:
		return refused(Malformed, "%s: version %d of %s is none", of, m.Version, next)
	case m.Version > MaxVersion:
		return refused(TooFast, "%s: version %d of %s is beyond %d", of, m.Version, next, MaxVersion)
	case m.Length < 1 || m.Length > next.Max():
		return refused(TooLarge, "%s: %s of %d bytes, and it may have %d", of, next, m.Length, next.Max())
	case len(m.Hashes) != 1 || len(m.Hashes["sha256"]) != 32:
		return refused(Malformed, "%s: want one SHA-256 of %s", of, next)
	}
	return nil
}

// ParseTargets reads a targets document, as ParseRoot does, and the files that
// it lists.
func ParseTargets(b []byte) (*Targets, error) {
	d, err := parse[metadata.TargetsType](RoleTargets, b)
	if err != nil {
		return nil, err
	}
	s := &d.Signed
	if err := common(RoleTargets, s.SpecVersion, s.Version, s.Expires); err != nil {
		return nil, err
	}
	if s.Targets == nil {
		return nil, refused(Malformed, "targets: it has no list of files")
	}
	if len(s.Targets) > MaxFiles {
		return nil, refused(TooLarge, "targets: it lists %d files, and may list %d", len(s.Targets), MaxFiles)
	}
	if _, err := Files(d); err != nil {
		return nil, err
	}
	return d, nil
}

func parse[T metadata.Roles](role Role, b []byte) (*metadata.Metadata[T], error) {
	if int64(len(b)) > role.Max() {
		return nil, refused(TooLarge, "%s: it is longer than %d bytes", role, role.Max())
	}
	if err := checkJSON(b); err != nil {
		return nil, refused(Malformed, "%s: %v", role, err)
	}
	d, err := new(metadata.Metadata[T]).FromBytes(b)
	if err != nil {
		return nil, refused(Malformed, "%s: %v", role, err)
	}
	if len(d.Signatures) > maxSignatures {
		return nil, refused(Malformed, "%s: it has %d signatures, and may have %d", role, len(d.Signatures), maxSignatures)
	}
	return d, nil
}

// common checks what all documents have.
func common(role Role, spec string, version int64, expires time.Time) error {
	switch {
	case !strings.HasPrefix(spec, "1."):
		return refused(Malformed, "%s: it is of specification %.20q, and 1.x is understood", role, spec)
	case version < 1:
		return refused(Malformed, "%s: version %d is none", role, version)
	case version > MaxVersion:
		return refused(TooFast, "%s: version %d is beyond %d", role, version, MaxVersion)
	case expires.IsZero():
		return refused(Malformed, "%s: it does not say when it expires", role)
	}
	return nil
}

// encode writes a document. What was signed stays what it is: signatures are
// over its canonical form.
func encode[T metadata.Roles](d *metadata.Metadata[T]) ([]byte, error) {
	b, err := json.MarshalIndent(*d, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return append(b, '\n'), nil
}
