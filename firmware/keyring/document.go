package keyring

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Bounds of a document. Revocations are for ever, so there is room for many.
const (
	MaxDocument   = 32 << 10 // bytes
	MaxVersion    = 1<<53 - 1
	MaxKeys       = 32
	MaxRevoked    = 256
	MaxSignatures = 16
	MaxComment    = 200 // bytes of printable text
)

const (
	format = "robot-ota-keyring"
	schema = 1
	// domain stands before the payload in what is signed.
	domain = "robot-ota keyring document, schema 1\x00"
)

// Content is what a document says.
type Content struct {
	Version uint64      // 1 to MaxVersion
	Keys    []image.Key // to be trusted besides those of the configured files
	Revoked []string    // ids of keys, sorted; for ever
	Comment string      // for people
	Issued  time.Time   // for people; zero: it does not say
}

// Signature is one of a document, as somebody has put it there.
type Signature struct {
	Key string   // id of the key that it is said to be of
	RS  [64]byte // r‖s, big-endian
}

// Document is a keyring document. [Parse] and [New] make one; it proves nothing
// until [Ring.Accept] has taken it. The zero Document is none.
type Document struct {
	content    Content
	payload    []byte
	signatures []Signature
}

// IsZero says that there is no document.
func (d Document) IsZero() bool { return d.payload == nil }

// Content is what the document says.
func (d Document) Content() Content {
	c := d.content
	c.Keys, c.Revoked = slices.Clone(c.Keys), slices.Clone(c.Revoked)
	return c
}

// Version of the document; 0 where there is none.
func (d Document) Version() uint64 { return d.content.Version }

// Signatures are those that it carries, good or not.
func (d Document) Signatures() []Signature { return slices.Clone(d.signatures) }

// Digest is what is signed, and by what one document is told from another.
func (d Document) Digest() [32]byte { return digestOf(d.payload) }

func digestOf(payload []byte) [32]byte {
	return sha256.Sum256(append([]byte(domain), payload...))
}

// payload is the form of what is signed.
type payload struct {
	Schema  int      `json:"schema"`
	Version uint64   `json:"version"`
	Keys    [][]byte `json:"keys"` // DER; encoding/json makes base64 of it
	Revoked []string `json:"revoked"`
	Comment string   `json:"comment,omitempty"`
	Issued  string   `json:"issued,omitempty"` // RFC 3339, UTC
}

// envelope is the form of a document.
type envelope struct {
	Format     string     `json:"format"`
	Payload    []byte     `json:"payload"`
	Signatures []carriage `json:"signatures"`
}

type carriage struct {
	Key       string `json:"key"`
	Signature []byte `json:"signature"`
}

// New makes a document that nobody has signed yet. It is refused, by a
// [*Refused], where a robot would refuse it for its form.
func New(c Content) (Document, error) {
	p := payload{Schema: schema, Version: c.Version, Keys: [][]byte{}, Revoked: []string{}, Comment: c.Comment}
	for _, k := range c.Keys {
		p.Keys = append(p.Keys, k.DER())
	}
	p.Revoked = append(p.Revoked, c.Revoked...)
	slices.Sort(p.Revoked)
	if !c.Issued.IsZero() {
		p.Issued = c.Issued.UTC().Format(time.RFC3339)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return Document{}, refused(Malformed, "%v", err)
	}
	d := Document{payload: raw}
	if d.content, err = parsePayload(raw); err != nil {
		return Document{}, err
	}
	return d, nil
}

// Sign adds one more signature. A key signs a document once.
func (d Document) Sign(key *ecdsa.PrivateKey) (Document, error) {
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return Document{}, err
	}
	if slices.ContainsFunc(d.signatures, func(s Signature) bool { return s.Key == pub.ID }) {
		return Document{}, refused(Malformed, "key %s has signed it already", pub.ID)
	}
	if len(d.signatures) >= MaxSignatures {
		return Document{}, refused(Malformed, "it carries %d signatures already, and may not carry more", MaxSignatures)
	}
	rs, err := image.SignDigest(d.Digest(), key)
	if err != nil {
		return Document{}, err
	}
	d.signatures = append(slices.Clone(d.signatures), Signature{Key: pub.ID, RS: rs})
	return d, nil
}

// Encode is the document as a file or an answer; [Parse] reads it back.
func (d Document) Encode() []byte {
	e := envelope{Format: format, Payload: d.payload, Signatures: []carriage{}}
	for _, s := range d.signatures {
		e.Signatures = append(e.Signatures, carriage{Key: s.Key, Signature: s.RS[:]})
	}
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		panic(err) // strings and bytes alone
	}
	return append(raw, '\n')
}

// check says what is wrong with a content that was read.
func (c Content) check() error {
	switch {
	case c.Version < 1 || c.Version > MaxVersion:
		return refused(Malformed, "its version %d is not between 1 and %d", c.Version, uint64(MaxVersion))
	case len(c.Keys) > MaxKeys:
		return refused(Malformed, "it trusts %d keys, more than %d", len(c.Keys), MaxKeys)
	case len(c.Revoked) > MaxRevoked:
		return refused(Malformed, "it revokes %d keys, more than %d", len(c.Revoked), MaxRevoked)
	case len(c.Keys)+len(c.Revoked) == 0:
		return refused(Malformed, "it neither trusts a key nor revokes one")
	case len(c.Comment) > MaxComment || !utf8.ValidString(c.Comment) || strings.ContainsFunc(c.Comment, unprintable):
		return refused(Malformed, "its comment is longer than %d bytes, or not printable", MaxComment)
	}
	seen := map[string]bool{}
	for _, k := range c.Keys {
		if seen[k.ID] {
			return refused(Malformed, "it names key %s twice", k.ID)
		}
		seen[k.ID] = true
	}
	gone := map[string]bool{}
	for _, id := range c.Revoked {
		switch {
		case !IsID(id):
			return refused(Malformed, "%.40q is no key id: want 16 lower-case hex digits", id)
		case gone[id]:
			return refused(Malformed, "it revokes key %s twice", id)
		case seen[id]:
			return refused(Malformed, "it trusts and revokes key %s", id)
		}
		gone[id] = true
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// IsID says whether s has the form of a key's id.
func IsID(s string) bool { return len(s) == 16 && strings.Trim(s, "0123456789abcdef") == "" }

// decode reads base64 of one form only: padded, without line ends, without
// bits that count for nothing.
func decode(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && base64.StdEncoding.EncodeToString(b) == s
}
