package tuf

import (
	"crypto/ecdsa"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/robot-platform/robot-ota/firmware/image"
)

// Description is what a document says, for people and, as JSON, for programs.
// Keys are named as ota-sign keygen names them.
type Description struct {
	Role      Role            `json:"role"`
	Version   int64           `json:"version"`
	Expires   time.Time       `json:"expires"`
	Threshold int             `json:"threshold,omitempty"` // root keys that have to sign
	Keys      map[Role][]Name `json:"keys,omitempty"`      // of a root document
	Signers   []Name          `json:"signers"`             // as it names them; not verified
	Files     []Entry         `json:"files,omitempty"`     // of a list
}

// Name is a key's: its id as keygen prints it, or the beginning of its TUF id
// where the document does not hold the key.
type Name string

// Entry is a file of a list.
type Entry struct {
	Release string `json:"release"`
	SKU     string `json:"sku"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	Status  Status `json:"status"`
}

// Describe reads a document of any role. It checks no signature.
func Describe(b []byte) (Description, error) {
	role, err := RoleOf(b)
	if err != nil {
		return Description{}, err
	}
	switch role {
	case RoleRoot:
		d, err := ParseRoot(b)
		if err != nil {
			return Description{}, err
		}
		return describeRoot(d)
	case RoleTargets:
		d, err := ParseTargets(b)
		if err != nil {
			return Description{}, err
		}
		out := Description{Role: role, Version: d.Signed.Version, Expires: d.Signed.Expires, Signers: signers(d.Signatures, nil)}
		files, err := Files(d)
		for _, f := range files {
			out.Files = append(out.Files, Entry{f.Release, f.SKU, f.Version.String(), f.SHA256, f.Size, f.Status})
		}
		return out, err
	case RoleSnapshot:
		d, err := ParseSnapshot(b)
		if err != nil {
			return Description{}, err
		}
		return Description{Role: role, Version: d.Signed.Version, Expires: d.Signed.Expires, Signers: signers(d.Signatures, nil)}, nil
	case RoleTimestamp:
		d, err := ParseTimestamp(b)
		if err != nil {
			return Description{}, err
		}
		return Description{Role: role, Version: d.Signed.Version, Expires: d.Signed.Expires, Signers: signers(d.Signatures, nil)}, nil
	}
	return Description{}, refused(Malformed, "it is no TUF document") // which RoleOf has found
}

func describeRoot(d *Root) (Description, error) {
	out := Description{
		Role: RoleRoot, Version: d.Signed.Version, Expires: d.Signed.Expires, Threshold: d.Signed.Roles[metadata.ROOT].Threshold,
		Keys: map[Role][]Name{}, Signers: signers(d.Signatures, d.Signed.Keys),
	}
	for _, role := range Roles() {
		for _, id := range d.Signed.Roles[string(role)].KeyIDs {
			out.Keys[role] = append(out.Keys[role], name(id, d.Signed.Keys))
		}
	}
	return out, nil
}

func signers(all []metadata.Signature, keys map[string]*metadata.Key) []Name {
	out := []Name{}
	for _, s := range all {
		out = append(out, name(s.KeyID, keys))
	}
	return out
}

func name(id string, keys map[string]*metadata.Key) Name {
	if k := keys[id]; k != nil {
		if public, err := k.ToPublicKey(); err == nil {
			if ec, ok := public.(*ecdsa.PublicKey); ok {
				return NameOf(ec)
			}
		}
	}
	return Name(clip(id))
}

// NameOf names a key.
func NameOf(pub *ecdsa.PublicKey) Name {
	k, err := image.NewKey(pub)
	if err != nil {
		return "unusable"
	}
	return Name(k.ID)
}

// clip makes foreign text fit for a terminal.
func clip(id string) string {
	if len(id) > 16 {
		id = id[:16]
	}
	if !plain(id) {
		return "unreadable"
	}
	return id + "…"
}
