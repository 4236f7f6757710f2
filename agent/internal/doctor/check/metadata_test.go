package check

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
)

func TestMetadata(t *testing.T) {
	dir := folders(t)
	now := tuftest.Noon()
	repo := tuftest.New(now)
	root := file(t, filepath.Join(dir, "root.json"), string(repo.First()), 0o644)
	var cfg config.Config
	cfg.Metadata = config.Metadata{Root: root}
	clock := func() time.Time { return now }
	at := func(h int) tuf.Fact { return tuf.Fact{Version: 1, Expires: now.Add(time.Duration(h) * time.Hour)} }
	good := tuf.Report{
		Required: true, Expires: now.Add(24 * time.Hour), Role: tuf.RoleTimestamp, Files: 3,
		Documents: map[tuf.Role]tuf.Fact{tuf.RoleRoot: at(8000), tuf.RoleTimestamp: at(24), tuf.RoleSnapshot: at(100), tuf.RoleTargets: {Version: 7, Expires: now.Add(1000 * time.Hour)}},
	}
	check := func(r *tuf.Report, who Identity, want ...string) {
		t.Helper()
		finds(t, Metadata(cfg, who, r, clock), want...)
	}
	check(&good, me(), "skipped it is not asked for (metadata.required: false)")
	cfg.Metadata.Required = true
	const begins = "ok begins with root 1 of "
	check(nil, me(), begins+root+": 2 of 3 root keys sign", "skipped what was accepted is known to the agent, and none runs")
	check(&good, me(), begins, "ok list 7 names 3 releases for this robot's SKU, and is valid until 2026-03-02 12:00:00 (timestamp)")
	check(&tuf.Report{}, me(), begins, "warn the running agent does not ask for it … => systemctl restart robot-ota")
	check(&tuf.Report{Required: true}, me(), begins, "fail no release metadata was accepted yet, so nothing can be installed => on the update server: ota-fleet metadata show")
	expired, held, unusable, soon := good, good, good, good
	expired.Expires = now.Add(-time.Hour)
	check(&expired, me(), begins, "fail the release metadata expired at 2026-03-01T11:00:00Z (timestamp)")
	held.Refused = &tuf.Refusal{Text: "cannot reach the server"}
	check(&held, me(), begins, "warn cannot reach the server => ")
	unusable.Unusable = "damaged"
	check(&unusable, me(), begins, "fail damaged")
	soon.Documents = map[tuf.Role]tuf.Fact{tuf.RoleRoot: at(100), tuf.RoleTargets: {Version: 7}}
	check(&soon, me(), begins, "warn root 1 expires at 2026-03-05 16:00:00 => have the next one signed: ota-sign tuf rotate", "ok list 7")
	chmod(t, root, 0o666)
	check(&good, me(), "fail others may write "+root, "ok ")
	chmod(t, root, 0o600)
	check(&good, nobody(), "fail "+root, "ok ")
	cfg.Metadata.Root = file(t, filepath.Join(dir, "page"), "<html>", 0o644)
	check(nil, me(), "fail "+cfg.Metadata.Root+": release metadata refused (metadata_malformed) … => get your fleet's first root document", "skipped ")
	cfg.Metadata.Root = filepath.Join(dir, "none")
	check(nil, me(), "fail metadata.root: open "+cfg.Metadata.Root+": no such file … => get your fleet's first root document", "skipped ")
}
