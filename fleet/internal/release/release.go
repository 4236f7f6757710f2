// Package release says what a release is, which images may become one, and
// which release is the latest. It is pure: no I/O, no clock, no log.
package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
)

// Release is an image that robots of one SKU may be offered.
type Release struct {
	SKU       string          `json:"sku"`
	Version   compat.Version  `json:"version"` // of the signed app description
	SHA256    string          `json:"sha256"`  // of the signed file, lower-case hex: its name
	Size      int64           `json:"size"`    // of the signed file, bytes
	Protocol  compat.Protocol `json:"protocol"`
	Name      string          `json:"release"`
	AppSHA256 string          `json:"app_sha256"` // as a robot that runs it reports it
	Key       string          `json:"key"`        // id of the key that signed it
	Published time.Time       `json:"published"`
}

// ErrRelease says that a record is none of a release.
var ErrRelease = errors.New("not a release")

// SKUs lists the fleet's SKUs.
func SKUs() []string { return []string{"basic", "industrial", "standard"} }

// Known says whether the fleet has that SKU.
func Known(sku string) bool { return slices.Contains(SKUs(), sku) }

// Check says whether a record that was stored can be a release's.
func (r Release) Check() error {
	switch {
	case !Known(r.SKU):
		return fmt.Errorf("%w: unknown SKU %.40q", ErrRelease, r.SKU)
	case r.Version.IsZero():
		return fmt.Errorf("%w: it has no version", ErrRelease)
	case !IsDigest(r.SHA256) || !IsDigest(r.AppSHA256):
		return fmt.Errorf("%w: a SHA-256 is not 64 lower-case hex digits", ErrRelease)
	case r.Size <= image.HeaderSize || r.Size > image.HeaderSize+image.MaxImageSize:
		return fmt.Errorf("%w: %d bytes cannot be an image's size", ErrRelease, r.Size)
	}
	return nil
}

// IsDigest says whether s is a SHA-256 as URLs and file names hold it.
func IsDigest(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// Prove verifies a signed file for each of the SKUs and gives their releases.
// Besides an *image.Refused it refuses what no robot would install: a version
// that the compatibility table does not list.
func Prove(signed []byte, keys image.Keyring, chip image.ChipID, skus []string, now time.Time) ([]Release, error) {
	if len(skus) == 0 {
		return nil, fmt.Errorf("no SKU: want one or more of %s", strings.Join(SKUs(), ", "))
	}
	var out []Release
	for _, sku := range skus {
		if !Known(sku) {
			return nil, fmt.Errorf("unknown SKU %.40q: want one of %s", sku, strings.Join(SKUs(), ", "))
		}
		v, err := image.Verify(signed, keys, image.Policy{Chip: chip, SKU: sku})
		if err != nil {
			return nil, err
		}
		protocol, ok := compat.DefaultTable().Protocol(v.Version())
		if !ok {
			return nil, fmt.Errorf("firmware %v is not in the compatibility table, so every robot would refuse it; add its row first", v.Version())
		}
		sum, app := sha256.Sum256(signed), v.App().Digest
		out = append(out, Release{
			SKU: sku, Version: v.Version(), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(signed)),
			Protocol: protocol, Name: fmt.Sprintf("%s-%v", sku, v.Version()),
			AppSHA256: hex.EncodeToString(app[:]), Key: v.KeyID(), Published: now.UTC(),
		})
	}
	return out, nil
}

// Latest is the highest version for the SKU.
func Latest(all []Release, sku string) (Release, bool) {
	var best Release
	for _, r := range all {
		if r.SKU == sku && r.Version.Compare(best.Version) > 0 {
			best = r
		}
	}
	return best, !best.Version.IsZero()
}

// A ConflictError refuses a second image under the name of the first.
type ConflictError struct{ Have Release }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is already published with another file (SHA-256 %s…): a version has one content; give the new build a new version", e.Have.Name, e.Have.SHA256[:12])
}

// Add puts the new releases into the list. One that is there already stays as
// it is.
func Add(all, fresh []Release) ([]Release, error) {
	out := slices.Clone(all)
	for _, f := range fresh {
		i := slices.IndexFunc(out, func(r Release) bool { return r.SKU == f.SKU && r.Version == f.Version })
		switch {
		case i < 0:
			out = append(out, f)
		case out[i].SHA256 != f.SHA256:
			return nil, &ConflictError{Have: out[i]}
		}
	}
	slices.SortStableFunc(out, func(a, b Release) int {
		if c := strings.Compare(a.SKU, b.SKU); c != 0 {
			return c
		}
		return a.Version.Compare(b.Version)
	})
	return out, nil
}
