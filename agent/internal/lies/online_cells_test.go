package lies

import (
	"net/http"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/tuf"
	"github.com/robot-platform/robot-ota/internal/tuf/tuftest"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// listed is how the owner lists a file for the robot's SKU.
func listed(version string, file []byte) tuf.File {
	v, err := compat.ParseVersion(version)
	if err != nil {
		panic(err)
	}
	return tuf.File{SHA256: sumOf(file), Size: int64(len(file)), SKU: "standard", Version: v, Protocol: 1, Release: "standard-" + version, Status: tuf.Listed}
}

// list has a repository list files and nothing else, and the server hand that
// out; its versions are above all before.
func (w *world) list(r *tuftest.Repo, files ...tuf.File) {
	w.t.Helper()
	w.lists++
	r.Jump(1000 * w.lists)
	r.List(time.Now(), files...)
	w.hand(r)
}

// hand has the server hand a repository out.
func (w *world) hand(r *tuftest.Repo) {
	w.server.set(func() { w.server.instead, w.server.metadata = nil, r.Clone().Documents })
}

// stealing has the thief, who has the online key and what the owner has signed, do
// something, and offer an image that is as good as can be; then the robot checks.
func stealing(do func(s *scene, thief *tuftest.Repo, file []byte)) func(*scene) string {
	return func(s *scene) string {
		file := s.signed(testimage.Spec{Version: "0.2.2"})
		s.server.honest("0.2.2", file)
		s.list(s.repo, listed("0.2.1", s.good()))
		if said := s.robot.check(); !strings.HasPrefix(said, "metadata_not_listed: ") { // so that it has the owner's newest
			return "before: " + said
		}
		thief := s.repo.Clone()
		do(s, thief, file)
		s.hand(thief)
		defer s.robot.late.Store(0)
		return s.robot.check()
	}
}

// named calls f with each document of that role.
func named(r *tuftest.Repo, role tuf.Role, f func(name string)) {
	for name := range r.Documents {
		if strings.HasSuffix(name, "."+string(role)+".json") {
			f(name)
		}
	}
}

func onlineCells() []cell {
	cells := []cell{
		{attack: arbitraryImage, verdict: refused, lies: []lie{
			{"a genuine image that the owner has not listed", stealing(func(*scene, *tuftest.Repo, []byte) {}),
				"metadata_not_listed: release metadata refused (metadata_not_listed, arbitrary target attack)"},
			{"a list with it, which the online key signed", stealing(func(_ *scene, r *tuftest.Repo, file []byte) {
				r.Targets = r.Online
				r.List(time.Now(), listed("0.2.2", file))
			}), "metadata_too_few_keys: "},
			{"a list with it, which nobody of the fleet signed", stealing(func(_ *scene, r *tuftest.Repo, file []byte) {
				r.Targets = tuftest.Key()
				r.List(time.Now(), listed("0.2.2", file))
			}), "metadata_too_few_keys: "},
			{"a forged image that the owner was made to list", func(s *scene) string {
				file := forged(s.world)
				s.server.honest("0.2.2", file)
				s.list(s.repo, listed("0.2.2", file))
				return s.robot.check()
			}, "possible attack"},
		}},
		{attack: rollBack, verdict: refused, lies: []lie{
			{"the timestamp of before a withdrawal", func(s *scene) string {
				file := s.good()
				s.server.honest("0.2.1", file)
				s.list(s.repo, listed("0.2.1", file))
				before, gone := s.repo.Clone(), listed("0.2.1", file)
				gone.Status = tuf.NoLonger
				s.list(s.repo, gone)
				if said := s.robot.check(); !strings.HasPrefix(said, "metadata_withdrawn: ") {
					return "before: " + said
				}
				s.hand(before)
				return s.robot.check()
			}, "metadata_older: release metadata refused (metadata_older, roll-back or replay attack)"},
			{"a new snapshot that names an old list", stealing(func(s *scene, r *tuftest.Repo, _ []byte) {
				old := tuftest.New(time.Now())
				old.Online = r.Online
				old.Jump(1000*s.lists + 500)
				old.Snap(time.Now())
				old.Documents["1.root.json"] = r.First()
				*r = *old
			}), "metadata_older: "},
		}},
		{attack: freeze, verdict: refused, lies: []lie{
			{"the timestamp of yesterday", stealing(func(s *scene, _ *tuftest.Repo, _ []byte) { s.robot.late.Store(int64(25 * time.Hour)) }),
				"metadata_expired: release metadata refused (metadata_expired, freeze attack): timestamp"},
			{"a list that its owner has not signed for a quarter, under new timestamps", stealing(func(s *scene, r *tuftest.Repo, _ []byte) {
				s.robot.late.Store(int64(91 * tuftest.Day))
				r.Snap(time.Now().Add(91 * tuftest.Day))
			}), "metadata_expired: "},
		}},
		{attack: mixAndMatch, verdict: refused, lies: []lie{
			{"another snapshot under the version that the timestamp names", stealing(func(_ *scene, r *tuftest.Repo, _ []byte) {
				r.Snap(time.Now())
				named(r, tuf.RoleSnapshot, func(name string) { r.Documents[name] = append(r.Documents[name], ' ') })
			}), "metadata_mismatch: release metadata refused (metadata_mismatch, mix-and-match attack)"},
			{"another file than the one that is listed for a version", func(s *scene) string {
				s.list(s.repo, listed("0.2.2", s.good()))
				return offering("0.2.2", genuine(testimage.Spec{Version: "0.2.2"}))(s)
			}, "metadata_other_file: "},
		}},
		{attack: fastForward, verdict: refused, lies: []lie{
			{"a version beyond every count", stealing(func(_ *scene, r *tuftest.Repo, _ []byte) {
				r.Jump(tuf.MaxVersion + 1)
				r.Stamp(time.Now())
			}), "metadata_version_jumped: "},
			{"the highest that there is, which the robot takes; then the owner replaces the online key", stealing(func(s *scene, r *tuftest.Repo, _ []byte) {
				r.Jump(tuf.MaxVersion)
				r.Snap(time.Now())
				s.hand(r)
				s.robot.check()
				s.repo.Online = tuftest.Key()
				s.repo.Rotate(time.Now(), 0, 2)
				r.Documents["2.root.json"] = s.repo.Documents["2.root.json"]
			}), "metadata_too_few_keys: "},
		}},
		{attack: endlessData, verdict: refused, lies: []lie{
			{"a timestamp that is too long", stealing(func(_ *scene, r *tuftest.Repo, _ []byte) {
				r.Documents["timestamp.json"] = append(r.Documents["timestamp.json"], make([]byte, tuf.MaxTimestamp)...)
			}), "metadata_too_large: release metadata refused (metadata_too_large, endless data attack)"},
			{"a root without end", func(s *scene) string {
				s.server.do(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/v1/tuf/") {
						endless(w, r)
						return
					}
					s.server.good(w, r)
				})
				return s.robot.check()
			}, "metadata_too_large: "},
		}},
		{attack: slowRetrieval, verdict: empty, guaranteed: "Each document has a minute; that is tried in made-up time where they are fetched (agent/internal/metadata)."},
		{attack: wrongSKU, verdict: refused, lies: []lie{
			{"an image that the owner lists for other robots", func(s *scene) string {
				file := s.signed(testimage.Spec{Version: "0.2.2"})
				other := listed("0.2.2", file)
				other.SKU, other.Release = "industrial", "industrial-0.2.2"
				s.list(s.repo, other)
				return offering("0.2.2", func(*world) []byte { return file })(s)
			}, "metadata_not_listed: "},
		}},
		{attack: wrongChip, verdict: refused, lies: []lie{
			{"another chip's image, which the owner was made to list", func(s *scene) string {
				file := s.signed(testimage.Spec{Version: "0.2.2", Chip: testimage.ChipESP32})
				s.server.honest("0.2.2", file)
				s.list(s.repo, listed("0.2.2", file))
				return s.robot.check()
			}, "possible attack: wrong target"},
		}},
		{attack: keyCompromise, verdict: refused, lies: []lie{
			{"a root of his own, which one stolen root key of the two that are needed has signed", stealing(func(_ *scene, r *tuftest.Repo, file []byte) {
				r.Targets, r.Online = tuftest.Key(), tuftest.Key()
				r.Rotate(time.Now(), 1)
				r.List(time.Now(), listed("0.2.2", file))
			}), "metadata_too_few_keys: release metadata refused (metadata_too_few_keys, key compromise attack): root"},
		}},
		{attack: droppedRequest, verdict: refused, lies: []lie{
			{"a snapshot that is named and not handed out", stealing(func(_ *scene, r *tuftest.Repo, _ []byte) {
				r.Snap(time.Now())
				named(r, tuf.RoleSnapshot, func(name string) { delete(r.Documents, name) })
			}), "metadata_absent: "},
			{"no metadata at all", stealing(func(_ *scene, r *tuftest.Repo, _ []byte) { clear(r.Documents) }), "metadata_absent: "},
		}},
		{attack: eavesdropping, verdict: empty, guaranteed: "Nothing of it is secret: it names what is published."},
	}
	for i := range cells {
		cells[i].by, cells[i].settings = anOnline, func(*scene) settings { return settings{listed: true} }
	}
	return cells
}
