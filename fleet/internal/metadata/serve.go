package metadata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// reader is a store, or one state of it.
type reader interface {
	Metadata(ctx context.Context, role string, version int64) (store.Metadata, error)
	NewestMetadata(ctx context.Context, role string) (store.Metadata, error)
}

// Serve is the document of that name, such as 3.root.json; fs.ErrNotExist:
// there is none.
func Serve(ctx context.Context, r reader, name string) ([]byte, error) {
	role, version, ok := split(name)
	if !ok {
		return nil, fmt.Errorf("%.40q: %w", name, fs.ErrNotExist)
	}
	var m store.Metadata
	var err error
	if role == tuf.RoleTimestamp {
		m, err = r.NewestMetadata(ctx, string(role))
	} else {
		m, err = r.Metadata(ctx, string(role), version)
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && m.Version == 0 {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return m.Document, err
}

// split reads a name; false: it is none under which something could be served.
func split(name string) (tuf.Role, int64, bool) {
	if name == tuf.RoleTimestamp.Name(0) {
		return tuf.RoleTimestamp, 0, true
	}
	number, rest, _ := strings.Cut(name, ".")
	version, err := strconv.ParseInt(number, 10, 32)
	role := tuf.Role(strings.TrimSuffix(rest, ".json"))
	return role, version, err == nil && version > 0 && slices.Contains(tuf.Roles(), role) && role != tuf.RoleTimestamp && role.Name(version) == name
}
