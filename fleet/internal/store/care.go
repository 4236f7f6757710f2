package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/internal/durable"
)

// Checked is what Check has looked at.
type Checked struct {
	Form      int64    `json:"form"` // number of the last migration
	Releases  int      `json:"releases"`
	Keyrings  int      `json:"keyrings"`
	Artifacts int      `json:"artifacts"`
	Patches   int      `json:"patches"`            // that are kept
	Unlisted  []string `json:"unlisted,omitempty"` // files that no release names
	Faults    []string `json:"faults,omitempty"`
}

// Check reads the database and every artifact and tells what is wrong with
// them. Its error says that it could not look.
func (s *Store) Check(ctx context.Context) (Checked, error) {
	var c Checked
	var err error
	if c.Form, err = s.form(ctx); err != nil {
		return Checked{}, fmt.Errorf("store: check: %w", err)
	}
	fault := func(format string, args ...any) { c.Faults = append(c.Faults, fmt.Sprintf(format, args...)) }
	if s.db.name == "sqlite" {
		if err := s.checkSQLite(ctx, fault); err != nil {
			return Checked{}, fmt.Errorf("store: check: %w", err)
		}
	}
	releases, err := s.Releases(ctx)
	if err != nil {
		fault("%v", err)
	}
	keyrings, err := s.Keyrings(ctx)
	if err != nil {
		fault("%v", err)
	}
	c.Releases, c.Keyrings = len(releases), len(keyrings)
	named := map[string]bool{}
	for _, r := range releases {
		if named[r.SHA256] {
			continue
		}
		named[r.SHA256] = true
		if err := s.checkArtifact(ctx, r.SHA256, r.Size); err != nil {
			fault("%s: %v; publish the image again, or restore it from a backup", r.Name, err)
		}
	}
	c.Artifacts = len(named)
	if err := errors.Join(s.checkPatches(ctx, &c, named, fault), s.checkMetadata(ctx, fault)); err != nil {
		return Checked{}, err
	}
	files, err := os.ReadDir(filepath.Join(s.dir, "artifacts"))
	if err != nil {
		return Checked{}, fmt.Errorf("store: check: %w", err)
	}
	for _, f := range files {
		if !named[f.Name()] {
			c.Unlisted = append(c.Unlisted, f.Name())
		}
	}
	return c, nil
}

func (s *Store) checkSQLite(ctx context.Context, fault func(string, ...any)) error {
	for _, pragma := range []string{"integrity_check", "foreign_key_check"} {
		err := each(ctx, s.q, func(from row) error {
			var text, table, rowid, parent any
			if pragma == "integrity_check" {
				if err := from.Scan(&text); err != nil {
					return err
				}
				if text != "ok" {
					fault("the database is damaged: %v", text)
				}
				return nil
			}
			if err := from.Scan(&table, &rowid, &parent, &text); err != nil {
				return err
			}
			fault("a row of %v names one of %v that is not there", table, parent)
			return nil
		}, "PRAGMA "+pragma)
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPatches looks at the patches that are kept, and names their files.
func (s *Store) checkPatches(ctx context.Context, c *Checked, named map[string]bool, fault func(string, ...any)) error {
	patches, err := s.Patches(ctx)
	if err != nil {
		return fmt.Errorf("store: check: %w", err)
	}
	for _, p := range patches {
		if !p.Kept() {
			continue
		}
		c.Patches++
		named[p.SHA256] = true
		if err := s.checkArtifact(ctx, p.SHA256, p.Size); err != nil {
			fault("patch from %.12s… to %.12s…: %v; robots take the whole image instead", p.From, p.To, err)
		}
	}
	return nil
}

func (s *Store) checkArtifact(ctx context.Context, sum string, size int64) error {
	f, err := s.OpenArtifact(ctx, sum)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); n != size || got != sum {
		return fmt.Errorf("artifacts/%s is damaged: %d bytes instead of %d, SHA-256 %s", sum, n, size, got)
	}
	return nil
}

// ErrNoBackup says that the database is backed up with its own tools.
var ErrNoBackup = errors.New("PostgreSQL is backed up with its own tools: pg_dump, or a base backup with WAL archiving")

// Backup writes a copy of everything, of one moment, into a new folder, which
// can be used in place of the store's. Servers go on meanwhile. With PostgreSQL
// it copies the artifacts, and says ErrNoBackup for the rest.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o750); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "artifacts"), 0o750); err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	if s.db.name == "sqlite" {
		// Before the artifacts: what it names is there already.
		if err := s.backupSQLite(ctx, filepath.Join(dir, File)); err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
	}
	files, err := os.ReadDir(filepath.Join(s.dir, "artifacts"))
	if err != nil {
		return fmt.Errorf("store: backup: %w", err)
	}
	for _, f := range files {
		if !release.IsDigest(f.Name()) {
			continue // one that is just being written
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
		b, err := os.ReadFile(s.artifactPath(f.Name()))
		if err == nil {
			err = durable.WriteFile(filepath.Join(dir, "artifacts", f.Name()), b, 0o640)
		}
		if err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
	}
	if s.db.name != "sqlite" {
		return fmt.Errorf("store: backup: the artifacts are copied; %w", ErrNoBackup)
	}
	return nil
}

// backupSQLite copies the database as of now, and makes the copy durable.
func (s *Store) backupSQLite(ctx context.Context, path string) error {
	release, err := s.db.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := exec(ctx, s.db.durable, "VACUUM INTO '"+strings.ReplaceAll(path, "'", "''")+"'"); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o640), f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(path)))
}
