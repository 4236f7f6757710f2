package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// Version of the marker file, and the bound of what is read of it.
const (
	markerSchema = 1
	maxMarker    = 4096
)

// mark is what stands in the marker file: that the owner was running and is
// being stopped, and which unit it was. Commands stand in the configuration
// alone.
type mark struct {
	Schema int    `json:"schema"`
	Unit   string `json:"unit,omitempty"`
}

// writeMarker puts the file on the disk for good: written aside, synced,
// renamed, and the directory synced.
func writeMarker(d disk.Disk, path string, m mark) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: write %s: %w: nothing was stopped", ErrMarker, path, err)
		}
	}()
	m.Schema = markerSchema
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return d.WriteFile(path, append(b, '\n'), 0o600)
}

// readMarker gives the mark and whether the file is there. One that cannot be
// read or understood is there all the same: an owner started once too often
// does less harm than one that stays stopped.
func readMarker(d disk.Disk, path string) (m mark, found bool, err error) {
	if path == "" {
		return m, false, nil
	}
	f, err := d.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, true, fmt.Errorf("%w: %w", ErrMarker, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMarker))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && m.Schema != markerSchema {
		err = fmt.Errorf("schema %d is not %d", m.Schema, markerSchema)
	}
	if err == nil && m.Unit != "" {
		err = checkUnit(m.Unit)
	}
	if err != nil {
		return mark{}, true, fmt.Errorf("%w: %s: %w", ErrMarker, path, err)
	}
	return m, true, nil
}

func removeMarker(d disk.Disk, path string) error {
	err := d.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: remove %s: %w", ErrMarker, path, err)
	}
	return nil
}
