package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/strictjson"
)

// Parse reads a document as it comes from outside. It proves no signature; it
// demands that there is one. Whatever has another form than [Document.Encode]
// gives it, white space aside, is a [*Refused] with [Malformed].
func Parse(b []byte) (Document, error) {
	if len(b) > MaxDocument {
		return Document{}, refused(Malformed, "it has more than %d bytes", MaxDocument)
	}
	var kind, packed string
	var carried []json.RawMessage
	err := strictjson.Fill(b,
		strictjson.Field{Name: "format", Into: &kind},
		strictjson.Field{Name: "payload", Into: &packed},
		strictjson.Field{Name: "signatures", Into: &carried})
	if err != nil {
		return Document{}, refused(Malformed, "%v", err)
	}
	if kind != format {
		return Document{}, refused(Malformed, "its format is %.40q, want %q", kind, format)
	}
	raw, ok := decode(packed)
	if !ok {
		return Document{}, refused(Malformed, "its payload is no base64")
	}
	d := Document{payload: raw}
	if d.content, err = parsePayload(raw); err != nil {
		return Document{}, err
	}
	d.signatures, err = parseSignatures(carried)
	return d, err
}

func parseSignatures(carried []json.RawMessage) ([]Signature, error) {
	switch {
	case len(carried) == 0:
		return nil, refused(Malformed, "it carries no signature; sign it with: ota-sign keyring sign")
	case len(carried) > MaxSignatures:
		return nil, refused(Malformed, "it carries %d signatures, more than %d", len(carried), MaxSignatures)
	}
	var out []Signature
	for i, raw := range carried {
		var s Signature
		var packed string
		err := strictjson.Fill(raw,
			strictjson.Field{Name: "key", Into: &s.Key},
			strictjson.Field{Name: "signature", Into: &packed})
		if err != nil {
			return nil, refused(Malformed, "signature %d: %v", i+1, err)
		}
		rs, ok := decode(packed)
		switch {
		case !IsID(s.Key):
			return nil, refused(Malformed, "signature %d: %.40q is no key id: want 16 lower-case hex digits", i+1, s.Key)
		case !ok || len(rs) != len(s.RS):
			return nil, refused(Malformed, "signature %d: want %d bytes r‖s in base64", i+1, len(s.RS))
		case slices.ContainsFunc(out, func(have Signature) bool { return have.Key == s.Key }):
			return nil, refused(Malformed, "it carries two signatures of key %s", s.Key)
		}
		copy(s.RS[:], rs)
		out = append(out, s)
	}
	return out, nil
}

func parsePayload(raw []byte) (Content, error) {
	var c Content
	var number int
	var keys []string
	var issued string
	err := strictjson.Fill(raw,
		strictjson.Field{Name: "schema", Into: &number},
		strictjson.Field{Name: "version", Into: &c.Version},
		strictjson.Field{Name: "keys", Into: &keys},
		strictjson.Field{Name: "revoked", Into: &c.Revoked},
		strictjson.Field{Name: "comment", Into: &c.Comment, Optional: true},
		strictjson.Field{Name: "issued", Into: &issued, Optional: true})
	if err != nil {
		return Content{}, refused(Malformed, "its payload: %v", err)
	}
	if number != schema {
		return Content{}, refused(Malformed, "its schema is %d, this program knows %d", number, schema)
	}
	if issued != "" {
		if c.Issued, err = time.Parse(time.RFC3339, issued); err != nil || len(issued) > 40 {
			return Content{}, refused(Malformed, "its time of issue %.40q is none: want one such as 2026-03-01T12:00:00Z", issued)
		}
	}
	if len(keys) > MaxKeys {
		return Content{}, refused(Malformed, "it trusts %d keys, more than %d", len(keys), MaxKeys)
	}
	for i, packed := range keys {
		k, err := parseKey(packed)
		if err != nil {
			return Content{}, refused(Malformed, "key %d: %v", i+1, err)
		}
		c.Keys = append(c.Keys, k)
	}
	return c, c.check()
}

// parseKey reads a key of a document. It has one form, that of
// [image.Key.DER], so that its id is that of the bytes.
func parseKey(packed string) (image.Key, error) {
	der, ok := decode(packed)
	if !ok {
		return image.Key{}, errors.New("it is no base64")
	}
	keys, err := image.ParseKeys(der)
	if err != nil {
		return image.Key{}, err
	}
	if len(keys) != 1 || !bytes.Equal(keys[0].DER(), der) {
		return image.Key{}, errors.New("want one public key as DER SubjectPublicKeyInfo")
	}
	return keys[0], nil
}

// MaxList is the size of a revocation list, in bytes.
const MaxList = 64 << 10

// ParseRevoked reads a local revocation list: one key id a line; what follows a
// # is for people, and empty lines are nothing. One bad line refuses the whole
// list, by a [*Refused] that names it.
func ParseRevoked(b []byte) ([]string, error) {
	if len(b) > MaxList {
		return nil, refused(Malformed, "the list has more than %d bytes", MaxList)
	}
	var ids []string
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		word, _, _ := strings.Cut(line, "#")
		switch word = strings.TrimSpace(word); {
		case word == "":
		case !IsID(word):
			return nil, refused(Malformed, "line %d: %.40q is no key id: want 16 lower-case hex digits, as ota-agent keys shows them", n, word)
		case !slices.Contains(ids, word):
			ids = append(ids, word)
		}
	}
	return ids, nil
}
