package check

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// Days before a root document expires from which on that is worth a word: its
// holders have to come together.
const rootSoon = 30 * 24 * time.Hour

// Metadata looks at the release metadata: that the operator's root document can
// be used and nobody else can change it, and what the running agent has made of
// it. r is the agent's; nil: none runs.
func Metadata(cfg config.Config, agent Identity, r *tuf.Report, now func() time.Time) doctor.Check {
	return doctor.Check{Name: "metadata", About: "signed lists of what may be installed", Run: func(context.Context) []doctor.Finding {
		if !cfg.Metadata.Required {
			return []doctor.Finding{doctor.Skip("it is not asked for (metadata.required: false): an old answer of the update server that is replayed, or a new one that is held back, is not noticed")}
		}
		findings := rootFile(cfg.Metadata, agent, now())
		if r == nil {
			return append(findings, doctor.Skip("what was accepted is known to the agent, and none runs"))
		}
		if !r.Required {
			return append(findings, doctor.Doubt(restart, "the running agent does not ask for it: the configuration was changed since"))
		}
		return append(findings, listed(*r, now())...)
	}}
}

// rootFile looks at the operator's root document.
func rootFile(m config.Metadata, agent Identity, now time.Time) []doctor.Finding {
	const get = "get your fleet's first root document from who holds its root keys (ota-sign tuf init makes it), and put it there, readable for everyone; or, without release metadata, metadata.required: false"
	var closed *closedError
	if err := agent.reach(m.Root, read); errors.As(err, &closed) {
		return []doctor.Finding{doctor.Bad(closed.openTo(), "%v", closed)}
	}
	b, err := m.ReadRoot()
	if err != nil {
		return []doctor.Finding{doctor.Bad(get, "metadata.root: %v", err)}
	}
	for _, path := range []string{m.Root, filepath.Dir(m.Root)} {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return []doctor.Finding{doctor.Bad("chmod go-w "+path+", after a look at who put which root there", "others may write %s (%s): whoever does decides what may be installed", path, describe(info))}
		}
	}
	d, err := tuf.Describe(b)
	if err == nil {
		err = tuf.CheckNext(nil, b)
	}
	if err != nil {
		return []doctor.Finding{doctor.Bad(get, "%s: %v", m.Root, err)}
	}
	return []doctor.Finding{doctor.Good("begins with root %d of %s: %d of %d root keys sign", d.Version, m.Root, d.Threshold, len(d.Keys[tuf.RoleRoot]))}
}

// listed tells what the agent has accepted.
func listed(r tuf.Report, now time.Time) []doctor.Finding {
	const look = "on the update server: ota-fleet metadata show; operations.md, \"Release metadata\", says what to do about each"
	var findings []doctor.Finding
	if root := r.Documents[tuf.RoleRoot]; !root.Expires.IsZero() && root.Expires.Sub(now) < rootSoon && now.Before(root.Expires) {
		findings = append(findings, doctor.Doubt("have the next one signed: ota-sign tuf rotate", "root %d expires at %s", root.Version, root.Expires.UTC().Format(time.DateTime)))
	}
	warnings := r.Warnings(now)
	for _, w := range warnings {
		if r.Unusable != "" || r.Expires.IsZero() || now.After(r.Expires) {
			findings = append(findings, doctor.Bad(look, "%s", w))
			continue
		}
		findings = append(findings, doctor.Doubt(look, "%s", w))
	}
	if len(warnings) == 0 {
		findings = append(findings, doctor.Good("list %d names %d releases for this robot's SKU, and is valid until %s (%s)",
			r.Documents[tuf.RoleTargets].Version, r.Files, r.Expires.UTC().Format(time.DateTime), r.Role))
	}
	return findings
}
