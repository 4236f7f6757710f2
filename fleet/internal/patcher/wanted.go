package patcher

import (
	"cmp"
	"slices"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// pair is a patch that would be of use.
type pair struct{ from, to release.Release }

// wanted lists the patches that robots have a use for, by what they say they
// run: from that to what is offered to them, or will be once a rollout reaches
// them, at most most for each release. Those of which most robots have a use come
// first; the latest stable release before it always is among them, as robots that
// do not report themselves run that, most likely.
func wanted(all []release.Release, running []store.VersionCount, most int) []pair {
	var out []pair
	seen := map[[2]string]bool{}
	for _, to := range targets(all) {
		from := slices.DeleteFunc(slices.Clone(all), func(r release.Release) bool {
			return r.SKU != to.SKU || r.Version.Compare(to.Version) >= 0 || r.SHA256 == to.SHA256
		})
		weight := func(r release.Release) int {
			n := 0
			for _, c := range running {
				if c.SKU == r.SKU && c.Version == r.Version {
					n += c.Robots
				}
			}
			if latest, ok := release.Latest(from, to.SKU); ok && latest.Version == r.Version {
				n += 1 << 30
			}
			return n
		}
		slices.SortStableFunc(from, func(a, b release.Release) int {
			if c := cmp.Compare(weight(b), weight(a)); c != 0 {
				return c
			}
			return b.Version.Compare(a.Version)
		})
		for i, r := range from {
			if i == most || weight(r) == 0 {
				break
			}
			// One file may be a release of several SKUs.
			if key := [2]string{r.SHA256, to.SHA256}; !seen[key] {
				seen[key] = true
				out = append(out, pair{r, to})
			}
		}
	}
	return out
}

// targets are the releases that somebody may be offered: of each SKU the latest
// that is stable, and what is published and newer than that.
func targets(all []release.Release) []release.Release {
	var out []release.Release
	for _, r := range all {
		latest, ok := release.Latest(all, r.SKU)
		if r.Live() && (!ok || r.Version.Compare(latest.Version) >= 0) {
			out = append(out, r)
		}
	}
	return out
}

// useless says which of the patches nobody will be offered any more: what they
// make was withdrawn, revoked or superseded.
func useless(all []release.Release, made []store.Patch) []store.Patch {
	offered := map[string]bool{}
	for _, r := range targets(all) {
		offered[r.SHA256] = true
	}
	return slices.DeleteFunc(slices.Clone(made), func(p store.Patch) bool { return offered[p.To] })
}
