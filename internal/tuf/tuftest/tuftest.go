// Package tuftest is a fleet's release metadata in memory, for tests: all keys
// of the owner, of his update server, and of whoever has stolen some of them.
package tuftest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Noon is when the tests' fleets begin.
func Noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// Lives of documents.
const (
	Day      = 24 * time.Hour
	RootFor  = 365 * Day
	ListFor  = 90 * Day
	SnapFor  = 7 * Day
	StampFor = Day
)

// PrivateKey is one of the owner's, or of a thief's.
type PrivateKey = ecdsa.PrivateKey

// Key makes a private key.
func Key() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return k
}

// Repo is a repository with 2 of 3 root keys.
type Repo struct {
	Root           []*ecdsa.PrivateKey
	Targets        *ecdsa.PrivateKey
	Online         *ecdsa.PrivateKey
	Documents      map[string][]byte // as they are served, by name
	Files          []tuf.File
	root, list     int64
	snapshot, time int64
}

// New begins a repository that lists these files.
func New(now time.Time, files ...tuf.File) *Repo {
	r := &Repo{Root: []*ecdsa.PrivateKey{Key(), Key(), Key()}, Targets: Key(), Online: Key(), Documents: map[string][]byte{}}
	r.Rotate(now, 0, 1)
	r.List(now, files...)
	return r
}

// Plan is what the next root document says.
func (r *Repo) Plan(now time.Time) tuf.Plan {
	return tuf.Plan{
		Version: r.root + 1, Expires: now.Add(RootFor), Threshold: 2, Root: public(r.Root...), Targets: public(r.Targets), Online: public(r.Online),
	}
}

// Rotate makes the next root document out of the keys as they are now, signed
// by those of the root keys, and by further ones.
func (r *Repo) Rotate(now time.Time, by ...int) { r.RotateBy(now, r.Pick(by...)...) }

// RotateBy is Rotate with keys that are the owner's no more.
func (r *Repo) RotateBy(now time.Time, by ...*ecdsa.PrivateKey) {
	r.root++
	p := r.Plan(now)
	p.Version = r.root
	b, err := tuf.NewRoot(p)
	must(err)
	r.Documents[tuf.RoleRoot.Name(r.root)] = Signed(b, by...)
}

// Pick gives root keys by number.
func (r *Repo) Pick(by ...int) []*ecdsa.PrivateKey {
	out := make([]*ecdsa.PrivateKey, 0, len(by))
	for _, i := range by {
		out = append(out, r.Root[i])
	}
	return out
}

// List makes and signs the next list of files, a snapshot and a timestamp.
func (r *Repo) List(now time.Time, files ...tuf.File) {
	r.Files = files
	r.list++
	b, err := tuf.NewTargets(r.list, now.Add(ListFor), files)
	must(err)
	r.Documents[tuf.RoleTargets.Name(r.list)] = Signed(b, r.Targets)
	r.Snap(now)
}

// Snap signs a new snapshot and timestamp, as the update server does.
func (r *Repo) Snap(now time.Time) {
	r.snapshot++
	b, err := tuf.NewSnapshot(r.snapshot, now.Add(SnapFor), r.list, r.Documents[tuf.RoleTargets.Name(r.list)], r.Online)
	must(err)
	r.Documents[tuf.RoleSnapshot.Name(r.snapshot)] = b
	r.Stamp(now)
}

// Stamp signs a new timestamp.
func (r *Repo) Stamp(now time.Time) {
	r.time++
	b, err := tuf.NewTimestamp(r.time, now.Add(StampFor), r.snapshot, r.Documents[tuf.RoleSnapshot.Name(r.snapshot)], r.Online)
	must(err)
	r.Documents[tuf.RoleTimestamp.Name(0)] = b
}

// Jump makes the next snapshot and timestamp have that version, or one more.
func (r *Repo) Jump(version int64) { r.snapshot, r.time = version-1, version-1 }

// Clone copies the repository: what an attacker does with it is not the owner's.
func (r *Repo) Clone() *Repo {
	c := *r
	c.Documents = maps.Clone(r.Documents)
	return &c
}

// First is the root document that robots are given.
func (r *Repo) First() []byte { return r.Documents["1.root.json"] }

// Fetch is a tuf.Fetch of what is served.
func (r *Repo) Fetch(_ context.Context, name string, _ int64) ([]byte, error) {
	b, ok := r.Documents[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

// Signed adds signatures.
func Signed(b []byte, by ...*ecdsa.PrivateKey) []byte {
	for _, k := range by {
		var err error
		b, err = tuf.Sign(b, k)
		must(err)
	}
	return b
}

// File is a listed file of SKU standard; its hash is made of one hex digit.
func File(version, digit string) tuf.File {
	v, err := compat.ParseVersion(version)
	must(err)
	return tuf.File{
		SHA256: strings.Repeat(digit, 64), Size: 1_400_000, SKU: "standard", Version: v, Protocol: 1,
		Release: "standard-" + version, Status: tuf.Listed,
	}
}

func public(keys ...*ecdsa.PrivateKey) []*ecdsa.PublicKey {
	out := make([]*ecdsa.PublicKey, 0, len(keys))
	for _, k := range keys {
		out = append(out, &k.PublicKey)
	}
	return out
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
