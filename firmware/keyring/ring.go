package keyring

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Base is what a robot is configured with.
type Base struct {
	Files     []Source
	Lists     []List
	Threshold int // trusted keys that must sign a document; below 1 is 1
}

// Source is where keys come from: a file.
type Source struct {
	Name string
	Keys []image.Key
}

// List is a local revocation list. It beats everything.
type List struct {
	Name string
	IDs  []string
}

// Ring is what is in force on a robot. It is a value: [Ring.Accept] gives
// another one. The zero Ring trusts nobody.
type Ring struct {
	base Base
	doc  Document
}

// NewRing is the ring of a robot that has accepted no document yet.
func NewRing(b Base) Ring {
	b.Threshold = max(1, b.Threshold)
	return Ring{base: b}
}

// Resume is the ring of a robot that accepted d before it was restarted. No
// signature is looked at: the key that signed d may have been revoked by it.
// Where d is kept must be trusted to keep what was accepted.
func Resume(b Base, d Document) Ring {
	r := NewRing(b)
	r.doc = d
	return r
}

// Document is the one in force; zero where there is none.
func (r Ring) Document() Document { return r.doc }

// Threshold is how many trusted keys must sign a document.
func (r Ring) Threshold() int { return max(1, r.base.Threshold) }

// Trusted are the keys whose signatures count. It knows the revoked ones too,
// so that a refusal names them.
func (r Ring) Trusted() image.Keyring {
	var all []image.Key
	for _, f := range r.base.Files {
		all = append(all, f.Keys...)
	}
	all = append(all, r.doc.content.Keys...)
	return image.NewKeyring(all...).Without(r.Revoked()...)
}

// Revoked are the ids that count for nothing, sorted.
func (r Ring) Revoked() []string {
	ids := slices.Clone(r.doc.content.Revoked)
	for _, l := range r.base.Lists {
		ids = append(ids, l.IDs...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Newer says whether a document of that version could take the place of the one
// in force.
func (r Ring) Newer(version uint64) bool { return version > r.doc.Version() }

// Holds says that d is the document in force.
func (r Ring) Holds(d Document) bool { return !r.doc.IsZero() && r.doc.Digest() == d.Digest() }

// Accept is the ring once d is in force. The document in force is accepted
// again, and changes nothing. Errors are [*Refused], and leave the ring as it
// is.
func (r Ring) Accept(d Document) (Ring, error) {
	if r.Holds(d) {
		return r, nil
	}
	if err := r.follows(d); err != nil {
		return Ring{}, err
	}
	if err := r.authorized(d); err != nil {
		return Ring{}, err
	}
	next := r
	next.doc = d
	left := next.Trusted().IDs()
	switch {
	case len(left) == 0:
		return Ring{}, refused(LeavesNoKey, "after it no key would be trusted; have it trust the key that takes over")
	case len(left) < r.Threshold():
		return Ring{}, refused(LeavesTooFew, "it leaves %d (%s) of the %d trusted keys that have to sign a keyring: no other could ever be accepted; have it trust more",
			len(left), strings.Join(left, ", "), r.Threshold())
	}
	return next, nil
}

// Follow is how a robot catches up: the ring after all those of the documents,
// oldest first, that it accepts one after the other. One in between that it
// refuses is passed over, because a robot that was built later knows a later
// key. The error is why the last of them is not in force; the ring counts all
// the same.
func (r Ring) Follow(documents ...Document) (Ring, error) {
	var err error
	for _, d := range documents {
		var next Ring
		if next, err = r.Accept(d); err == nil {
			r = next
		}
	}
	return r, err
}

// follows says whether d comes after the document in force, and says all that
// it said.
func (r Ring) follows(d Document) error {
	have := r.doc.Version()
	switch {
	case d.IsZero():
		return refused(Malformed, "there is no document")
	case d.Version() < have:
		return refused(NotNewer, "it is version %d, in force is %d; versions only go up", d.Version(), have)
	case d.Version() == have:
		return refused(Conflict, "it is version %d, as the one in force, and says something else; give it a higher version", have)
	}
	for _, id := range r.doc.content.Revoked {
		if !slices.Contains(d.content.Revoked, id) {
			return refused(ForgetsRevoked, "it does not revoke key %s, which version %d revoked; make it from that one: ota-sign keyring create --from", id, have)
		}
	}
	return nil
}

// authorized says whether enough trusted keys have signed d.
func (r Ring) authorized(d Document) error {
	trusted, revoked := r.Trusted(), r.Revoked()
	var good, wrong, gone []string
	for _, s := range d.signatures {
		k, known := trusted.Key(s.Key)
		switch {
		case known && k.Signed(d.Digest(), s.RS):
			good = append(good, k.ID)
		case known:
			wrong = append(wrong, s.Key)
		case slices.Contains(revoked, s.Key):
			gone = append(gone, s.Key)
		}
	}
	switch {
	case len(good) >= r.Threshold():
		return nil
	case len(wrong) > 0:
		return refused(BadSignature, "the signature of key %s is not by that key: the document was changed, or forged", wrong[0])
	case len(good) > 0:
		return refused(TooFew, "it carries %d (%s) of the %d signatures by trusted keys that it needs: add another with ota-sign keyring sign (trusted: %v)",
			len(good), strings.Join(good, ", "), r.Threshold(), trusted)
	case len(gone) > 0:
		return refused(RevokedKey, "its signature names key %s, which is revoked (trusted: %v)", gone[0], trusted)
	}
	return refused(ForeignKey, "signed by no trusted key (trusted: %v)", trusted)
}

// Entry is a key in a report, and who says so.
type Entry struct {
	ID   string   `json:"id"`
	From []string `json:"from"` // files, or FromDocument
}

// FromDocument stands in reports for the accepted document.
const FromDocument = "keyring document"

// TrustedEntries are the trusted keys and where each comes from.
func (r Ring) TrustedEntries() []Entry {
	trusted := r.Trusted()
	var t table
	for _, f := range r.base.Files {
		for _, k := range f.Keys {
			t.add(k.ID, f.Name)
		}
	}
	for _, k := range r.doc.content.Keys {
		t.add(k.ID, FromDocument)
	}
	return slices.DeleteFunc(t, func(e Entry) bool { _, ok := trusted.Key(e.ID); return !ok })
}

// RevokedEntries are the revoked ids, and who revokes each.
func (r Ring) RevokedEntries() []Entry {
	var t table
	for _, id := range r.doc.content.Revoked {
		t.add(id, FromDocument)
	}
	for _, l := range r.base.Lists {
		for _, id := range l.IDs {
			t.add(id, l.Name)
		}
	}
	slices.SortStableFunc(t, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	return t
}

// table collects entries in the order in which they are first named.
type table []Entry

func (t *table) add(id, from string) {
	i := slices.IndexFunc(*t, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		*t = append(*t, Entry{ID: id, From: []string{from}})
		return
	}
	if e := &(*t)[i]; !slices.Contains(e.From, from) {
		e.From = append(e.From, from)
	}
}

// String says what is in force in one line.
func (r Ring) String() string {
	s := fmt.Sprintf("trusted: %v", r.Trusted())
	if gone := r.Revoked(); len(gone) > 0 {
		s += "; revoked: " + strings.Join(gone, ", ")
	}
	return s
}
