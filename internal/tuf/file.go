package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/strictjson"
)

// File is a signed firmware file that the owner of the fleet stands for, or
// does no more.
type File struct {
	SHA256   string // of the whole file, lower-case hex
	Size     int64  // of the whole file, bytes
	SKU      string
	Version  compat.Version
	Protocol compat.Protocol
	Release  string
	Status   Status
}

// Status of a file.
type Status string

// The statuses.
const (
	Listed   Status = "listed"    // robots may take it
	NoLonger Status = "withdrawn" // robots refuse it
)

// maxText bounds SKU and release, in bytes.
const maxText = 128

// name of a file in a targets document.
func (f File) name() string { return f.Release + ".bin" }

// target is how a targets document lists it.
func (f File) target() (*metadata.TargetFiles, error) {
	sum, err := hex.DecodeString(f.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%s: %.70q is no SHA-256", f.Release, f.SHA256)
	}
	custom, err := json.Marshal(map[string]any{
		"sku": f.SKU, "version": f.Version, "protocol": f.Protocol, "release": f.Release, "status": f.Status,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Release, err)
	}
	raw := json.RawMessage(custom)
	return &metadata.TargetFiles{Length: f.Size, Hashes: metadata.Hashes{"sha256": sum}, Custom: &raw, Path: f.name()}, nil
}

// Files are what a targets document lists, by name.
func Files(d *Targets) ([]File, error) {
	out := make([]File, 0, len(d.Signed.Targets))
	for _, name := range slices.Sorted(maps.Keys(d.Signed.Targets)) {
		f, err := file(d.Signed.Targets[name])
		if err == nil && f.name() != name {
			err = fmt.Errorf("it is of the release %.60q", f.Release)
		}
		if err != nil {
			return nil, refused(Malformed, "targets: %.60q: %v", name, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// file reads one entry. Fields that a later version adds are passed over.
func file(t *metadata.TargetFiles) (File, error) {
	if t == nil || t.Custom == nil {
		return File{}, fmt.Errorf("it has no custom part that tells of a firmware")
	}
	sum := t.Hashes["sha256"]
	if len(sum) != sha256.Size {
		return File{}, fmt.Errorf("it has no SHA-256")
	}
	if t.Length <= image.HeaderSize || t.Length > image.HeaderSize+image.MaxImageSize {
		return File{}, fmt.Errorf("%d bytes cannot be a signed image's size", t.Length)
	}
	fields, err := strictjson.Object(*t.Custom)
	if err != nil {
		return File{}, err
	}
	f := File{SHA256: hex.EncodeToString(sum), Size: t.Length}
	for name, into := range map[string]any{"sku": &f.SKU, "version": &f.Version, "protocol": &f.Protocol, "release": &f.Release, "status": &f.Status} {
		if raw := fields[name]; len(raw) == 0 || string(raw) == "null" {
			return File{}, fmt.Errorf("it has no %q", name)
		} else if err := json.Unmarshal(raw, into); err != nil {
			return File{}, fmt.Errorf("its %q cannot be read: %w", name, err)
		}
	}
	switch {
	case f.Version.IsZero():
		return File{}, fmt.Errorf("it has no version")
	case !plain(f.SKU) || !plain(f.Release):
		return File{}, fmt.Errorf("sku and release want 1 to %d letters, digits, dots, - and _", maxText)
	case f.Status != Listed && f.Status != NoLonger:
		return File{}, fmt.Errorf("its status is %.20q: want %s or %s", f.Status, Listed, NoLonger)
	}
	return f, nil
}

// plain: nothing that a file name or a log line would stumble over.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= maxText
}

// Find says what a list has of a file for robots of a SKU; a *Refused says why
// it may not be installed. What is not known of it yet is zero, and what is
// known has to agree.
func Find(list []File, sku string, want File) (File, error) {
	var same, version *File // of that content, of that version
	for i, f := range list {
		if f.SKU != sku {
			continue
		}
		if f.SHA256 == want.SHA256 && (same == nil || f.Version == want.Version) {
			same = &list[i]
		}
		if f.Version == want.Version {
			version = &list[i]
		}
	}
	if want.SHA256 == "" {
		if want.Version.IsZero() {
			return File{}, nil // nothing is known yet
		}
		same = version
	}
	switch {
	case same == nil && version != nil:
		return File{}, refused(OtherFile, "%s is listed with the file %.12s…, not %.12s…", version.Release, version.SHA256, want.SHA256)
	case same == nil:
		return File{}, refused(NotListed, "no list that the fleet's owner signed has the file %.12s… for SKU %s; if it was just published, it has to be listed first (ota-fleet metadata show)", want.SHA256, sku)
	case !want.Version.IsZero() && same.Version != want.Version:
		return File{}, refused(OtherFile, "the file %.12s… is listed as version %s, and %s was named", want.SHA256, same.Version, want.Version)
	case want.Size != 0 && same.Size != want.Size:
		return File{}, refused(OtherFile, "%s is listed with %d bytes, and %d were named", same.Release, same.Size, want.Size)
	case same.Status != Listed:
		return File{}, refused(Withdrawn, "%s was withdrawn by the fleet's owner", same.Release)
	}
	return *same, nil
}
