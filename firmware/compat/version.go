package compat

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrVersion says that a text is not a version of the form MAJOR.MINOR.PATCH.
var ErrVersion = errors.New("not a version")

// maxVersionText bounds what ParseVersion looks at: "v65535.255.255".
const maxVersionText = 14

// Version is a firmware or companion version. The widths are those of the
// signed container's header: major<<16 | minor<<8 | patch in 32 bits. The zero
// Version means "unknown"; no release may be numbered 0.0.0.
type Version struct {
	Major        uint16
	Minor, Patch uint8
}

// ParseVersion reads "0.2.1" or "v0.2.1" and nothing else: no pre-release, no
// build suffix, no missing part, no leading zero, so that one version has one
// spelling. MAJOR is at most 65535, MINOR and PATCH at most 255. The error
// wraps [ErrVersion].
func ParseVersion(s string) (Version, error) {
	if len(s) > maxVersionText {
		return Version{}, fmt.Errorf("%w: %.*q… is longer than the longest version, 65535.255.255", ErrVersion, maxVersionText, s)
	}
	parts := strings.Split(strings.TrimPrefix(s, "v"), ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("%w: %q: want MAJOR.MINOR.PATCH, as in 0.2.1", ErrVersion, s)
	}
	var nums [3]uint64
	for i, limit := range [3]uint64{65535, 255, 255} {
		n, err := parseNumber(parts[i], limit)
		if err != nil {
			return Version{}, fmt.Errorf("%w: %q: %w", ErrVersion, s, err)
		}
		nums[i] = n
	}
	v := Version{Major: uint16(nums[0]), Minor: uint8(nums[1]), Patch: uint8(nums[2])}
	if v.IsZero() {
		return Version{}, fmt.Errorf("%w: 0.0.0 stands for an unknown version and cannot be a release", ErrVersion)
	}
	return v, nil
}

func parseNumber(s string, limit uint64) (uint64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	if len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("%q has a leading zero", s)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("%s is above %d", s, limit)
	}
	return n, nil
}

// FromPacked takes a version as the container header and the wire hold it:
// major<<16 | minor<<8 | patch.
func FromPacked(u uint32) Version {
	return Version{Major: uint16(u >> 16), Minor: uint8(u >> 8), Patch: uint8(u)}
}

// Packed is the inverse of [FromPacked].
func (v Version) Packed() uint32 {
	return uint32(v.Major)<<16 | uint32(v.Minor)<<8 | uint32(v.Patch)
}

// String gives "MAJOR.MINOR.PATCH", and "0.0.0" for an unknown version.
func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Compare gives -1, 0 or +1 as v is older than, the same as or newer than w.
func (v Version) Compare(w Version) int {
	return cmp.Compare(v.Packed(), w.Packed())
}

// IsZero tells whether the version is unknown.
func (v Version) IsZero() bool { return v == Version{} }

// MarshalText gives the version's text, "" when it is unknown.
func (v Version) MarshalText() ([]byte, error) {
	if v.IsZero() {
		return []byte{}, nil
	}
	return []byte(v.String()), nil
}

// UnmarshalText reads what [Version.MarshalText] writes, and "v0.2.1" as well.
func (v *Version) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := ParseVersion(string(b))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
