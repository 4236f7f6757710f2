package tuf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Plan is what a root document is to say.
type Plan struct {
	Version   int64
	Expires   time.Time
	Threshold int // of root keys that have to sign
	Root      []*ecdsa.PublicKey
	Targets   []*ecdsa.PublicKey // any one signs
	Online    []*ecdsa.PublicKey // snapshot and timestamp; any one signs
}

// NewRoot makes a root document that nobody has signed yet.
func NewRoot(p Plan) ([]byte, error) {
	d := metadata.Root(moment(p.Expires))
	d.Signed.Version = p.Version
	for role, keys := range map[Role][]*ecdsa.PublicKey{
		RoleRoot: p.Root, RoleTargets: p.Targets, RoleSnapshot: p.Online, RoleTimestamp: p.Online,
	} {
		for _, pub := range keys {
			k, err := newKey(pub)
			if err != nil {
				return nil, err
			}
			if err := d.Signed.AddKey(k, string(role)); err != nil {
				return nil, fmt.Errorf("root: %w", err)
			}
		}
	}
	d.Signed.Roles[metadata.ROOT].Threshold = p.Threshold
	b, err := encode(d)
	if err != nil {
		return nil, err
	}
	if _, err := ParseRoot(b); err != nil {
		return nil, err
	}
	return b, nil
}

// PlanOf is what a root document says.
func PlanOf(d *Root) (Plan, error) {
	p := Plan{Version: d.Signed.Version, Expires: d.Signed.Expires, Threshold: d.Signed.Roles[metadata.ROOT].Threshold}
	for role, into := range map[Role]*[]*ecdsa.PublicKey{RoleRoot: &p.Root, RoleTargets: &p.Targets, RoleTimestamp: &p.Online} {
		for _, id := range d.Signed.Roles[string(role)].KeyIDs {
			public, err := d.Signed.Keys[id].ToPublicKey()
			ec, ok := public.(*ecdsa.PublicKey)
			if err != nil || !ok {
				return Plan{}, refused(Malformed, "root: key %.16q cannot be read", id)
			}
			*into = append(*into, ec)
		}
	}
	if !slices.Equal(d.Signed.Roles[metadata.TIMESTAMP].KeyIDs, d.Signed.Roles[metadata.SNAPSHOT].KeyIDs) {
		return Plan{}, refused(Malformed, "root: snapshot and timestamp have different keys, which this program does not make")
	}
	return p, nil
}

// NewTargets makes a list of files that nobody has signed yet.
func NewTargets(version int64, expires time.Time, files []File) ([]byte, error) {
	d := metadata.Targets(moment(expires))
	d.Signed.Version = version
	for _, f := range files {
		t, err := f.target()
		if err != nil {
			return nil, err
		}
		d.Signed.Targets[f.name()] = t
	}
	b, err := encode(d)
	if err != nil {
		return nil, err
	}
	if _, err := ParseTargets(b); err != nil {
		return nil, err
	}
	return b, nil
}

// NewSnapshot makes and signs the snapshot that names a targets document.
func NewSnapshot(version int64, expires time.Time, targetsVersion int64, targets []byte, online *ecdsa.PrivateKey) ([]byte, error) {
	d := metadata.Snapshot(moment(expires))
	d.Signed.Version = version
	d.Signed.Meta = map[string]*metadata.MetaFiles{"targets.json": naming(targetsVersion, targets)}
	if err := sign(d, online); err != nil {
		return nil, err
	}
	return encode(d)
}

// NewTimestamp makes and signs the timestamp that names a snapshot.
func NewTimestamp(version int64, expires time.Time, snapshotVersion int64, snapshot []byte, online *ecdsa.PrivateKey) ([]byte, error) {
	d := metadata.Timestamp(moment(expires))
	d.Signed.Version = version
	d.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": naming(snapshotVersion, snapshot)}
	if err := sign(d, online); err != nil {
		return nil, err
	}
	return encode(d)
}

func naming(version int64, b []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(b)
	return &metadata.MetaFiles{Version: version, Length: int64(len(b)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// moment is a time as the specification writes it: to the second, UTC.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Sign adds a key's signature to a root or targets document, in place of an
// earlier one of that key.
func Sign(b []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	role, err := RoleOf(b)
	if err != nil {
		return nil, err
	}
	switch role {
	case RoleRoot:
		d, err := ParseRoot(b)
		if err != nil {
			return nil, err
		}
		if err := sign(d, key); err != nil {
			return nil, err
		}
		return encode(d)
	case RoleTargets:
		d, err := ParseTargets(b)
		if err != nil {
			return nil, err
		}
		if err := sign(d, key); err != nil {
			return nil, err
		}
		return encode(d)
	default:
		return nil, fmt.Errorf("a %s document is signed by the update server alone", role)
	}
}

// CheckNext says why a client that trusts old does not take next; nil: it does.
// With old nil next is a fleet's first, which has to sign itself.
func CheckNext(old, next []byte) error {
	fresh, err := ParseRoot(next)
	if err != nil {
		return err
	}
	if old == nil {
		return explained("root", fresh.VerifyDelegate(metadata.ROOT, fresh))
	}
	have, err := ParseRoot(old)
	if err != nil {
		return err
	}
	if fresh.Signed.Version == have.Signed.Version && !bytes.Equal(old, next) {
		return refused(NotNeeded, "root: another version %d is there already", have.Signed.Version)
	}
	if fresh.Signed.Version != have.Signed.Version+1 {
		return refused(NotInOrder, "root: version %d comes after %d, not %d", have.Signed.Version+1, have.Signed.Version, fresh.Signed.Version)
	}
	if err := have.VerifyDelegate(metadata.ROOT, fresh); err != nil {
		r := explained("root", err).(*Refused) //nolint:errorlint,forcetypeassert // explained makes nothing else
		r.Detail += fmt.Sprintf(" of the keys that root %d names", have.Signed.Version)
		return r
	}
	if err := fresh.VerifyDelegate(metadata.ROOT, fresh); err != nil {
		r := explained("root", err).(*Refused) //nolint:errorlint,forcetypeassert // the same
		r.Detail += " of its own keys"
		return r
	}
	return nil
}

// CheckTargets says why a list of files is not one of the fleet's; nil: it is.
func CheckTargets(root, targets []byte) error {
	r, err := ParseRoot(root)
	if err != nil {
		return err
	}
	t, err := ParseTargets(targets)
	if err != nil {
		return err
	}
	return explained("targets", r.VerifyDelegate(metadata.TARGETS, t))
}

// CheckOnline says why who holds that key may not sign snapshots and
// timestamps; nil: he may.
func CheckOnline(root []byte, pub *ecdsa.PublicKey) error {
	return speaks(root, pub, RoleSnapshot, RoleTimestamp)
}

// SpeaksForTargets says why who holds that key may not sign the list of files.
func SpeaksForTargets(root []byte, pub *ecdsa.PublicKey) error {
	return speaks(root, pub, RoleTargets)
}

func speaks(root []byte, pub *ecdsa.PublicKey, roles ...Role) error {
	r, err := ParseRoot(root)
	if err != nil {
		return err
	}
	id, err := KeyID(pub)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if !slices.Contains(r.Signed.Roles[string(role)].KeyIDs, id) {
			return refused(TooFew, "root %d does not name the key %.16s for %s", r.Signed.Version, id, role)
		}
	}
	return nil
}

// Names says whether the part of a document that names others names this one.
func Names(meta map[string]*metadata.MetaFiles, role Role, version int64, b []byte) bool {
	m := meta[string(role)+".json"]
	return m != nil && m.Version == version && m.VerifyLengthHashes(b) == nil
}

// SignedBy says whether a document names that key as a signer.
func SignedBy[T metadata.Roles](d *metadata.Metadata[T], pub *ecdsa.PublicKey) bool {
	id, err := KeyID(pub)
	return err == nil && slices.ContainsFunc(d.Signatures, func(s metadata.Signature) bool { return s.KeyID == id })
}

// SameRoot says whether two root documents say the same, whoever has signed them.
func SameRoot(a, b []byte) bool {
	one, err := unsigned(a)
	two, err2 := unsigned(b)
	return err == nil && err2 == nil && bytes.Equal(one, two)
}

func unsigned(b []byte) ([]byte, error) {
	d, err := ParseRoot(b)
	if err != nil {
		return nil, err
	}
	d.Signatures = nil
	return encode(d)
}
