// Package release says what a release is, which images may become one, and
// which release a robot should have. It is pure: no I/O, no clock, no log.
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
	Status    Status          `json:"status"`
	// Changed is since when it has that status, By and Reason who gave it and why.
	Changed time.Time `json:"changed,omitzero"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// Status is who may have a release. Its names are published and persisted.
type Status string

// The statuses.
const (
	// Published: it can be downloaded, and is offered to the robots that a
	// rollout gives their turn.
	Published Status = "published"
	// Stable: every robot of its SKU is offered it.
	Stable Status = "stable"
	// Withdrawn: nobody gets it any more.
	Withdrawn Status = "withdrawn"
	// Revoked: the key that signed it is; nobody gets it any more. It follows
	// from the key and is not stored.
	Revoked Status = "revoked"
)

// Live says whether robots may download it.
func (r Release) Live() bool { return r.Status == Published || r.Status == Stable }

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
			AppSHA256: hex.EncodeToString(app[:]), Key: v.KeyID(), Published: now.UTC(), Status: Published, Changed: now.UTC(),
		})
	}
	return out, nil
}

// Latest is the highest stable version for the SKU.
func Latest(all []Release, sku string) (Release, bool) {
	var best Release
	for _, r := range all {
		if r.SKU == sku && r.Status == Stable && r.Version.Compare(best.Version) > 0 {
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
