package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// Keys looks at the files of trusted keys: that the agent can read them, that
// nobody else can change them, and that the running agent has read them as they
// are; and at the ring that the agent has made of them. started is when it was
// started, zero: none runs; then ring is nil.
func Keys(cfg config.Config, agent Identity, started time.Time, ring *keyring.Report) doctor.Check {
	return doctor.Check{Name: "keys", About: "whose signatures count", Run: func(context.Context) []doctor.Finding {
		if closed := keyFolders(cfg.Trust.Keys, agent); len(closed) > 0 {
			return closed
		}
		_, files, err := cfg.Keyring()
		if err != nil {
			return []doctor.Finding{doctor.Bad("put the build server's public key there, readable for everyone; then `ota-agent config check`", "%v", err)}
		}
		var findings []doctor.Finding
		paths := keyPatterns(cfg.Trust.Keys)
		for _, f := range files {
			findings = append(findings, keyFile(f, agent))
			paths = append(paths, f.Path)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && !started.IsZero() && info.ModTime().After(started) {
				findings = append(findings, doctor.Doubt(restart, "%s was changed after the agent had started, which trusts what it held before", path))
				break
			}
		}
		return append(findings, inForce(ring)...)
	}}
}

// inForce tells what a keyring document and the revocations have made of the
// files.
func inForce(r *keyring.Report) []doctor.Finding {
	if r == nil {
		return nil
	}
	var findings []doctor.Finding
	if r.Version > 0 || len(r.Revoked) > 0 {
		said := fmt.Sprintf("keyring document %d is in force: trusted are %s", r.Version, list(keyring.IDs(r.Trusted)))
		if r.Version == 0 {
			said = fmt.Sprintf("trusted are %s", list(keyring.IDs(r.Trusted)))
		}
		if len(r.Revoked) > 0 {
			said += ", revoked " + list(keyring.IDs(r.Revoked))
		}
		findings = append(findings, doctor.Good("%s", said))
	}
	for _, w := range r.Warnings() {
		if len(r.Trusted) == 0 {
			findings = append(findings, doctor.Bad("ota-agent keys shows them; operations.md, \"Change keys\", says how to come back", "%s", w))
			continue
		}
		findings = append(findings, doctor.Doubt("ota-agent keys shows them", "%s", w))
	}
	return findings
}

// keyPatterns are the folders in which files are looked for by a pattern: one
// that was taken away changes its folder.
func keyPatterns(keys []string) (folders []string) {
	for _, k := range keys {
		if strings.ContainsAny(filepath.Base(k), `*?[\`) {
			folders = append(folders, filepath.Dir(k))
		}
	}
	return folders
}

// keyFolders tells the folders that hide keys from the agent: a pattern finds
// nothing in a folder that may not be read, and says no more than that.
func keyFolders(patterns []string, agent Identity) []doctor.Finding {
	var findings []doctor.Finding
	seen := map[string]bool{}
	for _, p := range patterns {
		dir := filepath.Dir(p)
		if seen[dir] || strings.ContainsAny(dir, `*?[\`) {
			continue
		}
		seen[dir] = true
		var closed *closedError
		switch err := agent.reach(dir, read|enter); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.As(err, &closed):
			findings = append(findings, doctor.Bad(closed.openTo(), "%v: it cannot see the keys in %s", closed, dir))
		case unseen(err):
			findings = append(findings, doctor.Skip("the keys in %s may not be looked at by this user: %s", dir, asRoot))
		}
	}
	return findings
}

// keyFile looks at one file that holds keys.
func keyFile(f config.KeyFile, agent Identity) doctor.Finding {
	var closed *closedError
	if err := agent.reach(f.Path, read); errors.As(err, &closed) {
		return doctor.Bad(closed.openTo(), "%v", closed)
	}
	for _, path := range []string{f.Path, filepath.Dir(f.Path)} {
		info, err := os.Stat(path)
		if err != nil {
			return doctor.Skip("%v", err)
		}
		if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return doctor.Bad("chmod go-w "+path+", after a look at who put which key there", "others may write %s (%s): whoever does decides which firmware is trusted", path, describe(info))
		}
	}
	noun := "key"
	if len(f.IDs) > 1 {
		noun = fmt.Sprintf("%d keys", len(f.IDs))
	}
	return doctor.Good("trusts %s %s of %s", noun, list(f.IDs), f.Path)
}
