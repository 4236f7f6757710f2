// Package durable writes small files of this computer so that a power cut
// leaves the old content or the new one, never a mixture and never nothing.
// What the agent keeps goes through a disk.Disk of its own, which does the same.
package durable

import (
	"io/fs"

	"github.com/robot-platform/robot-ota/internal/disk"
)

// WriteFile replaces path by data, as disk.Disk.WriteFile does.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return disk.Disk{}.WriteFile(path, data, perm)
}

// SyncDir makes the entries of a folder (a rename, a removal) durable.
func SyncDir(dir string) error { return disk.Disk{}.SyncDir(dir) }
