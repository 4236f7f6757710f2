package emergency

import (
	"cmp"
	"slices"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Target is a firmware that is taken back: a version for a SKU.
type Target struct {
	SKU     string         `json:"sku"`
	Version compat.Version `json:"version"`
	Release string         `json:"release"` // its name
}

// scope is what goes with a release: the releases of other SKUs that are the
// same file, because it would be served for them, and those that the same
// rollout brings; and the rollouts.
type scope struct {
	targets  []Target
	rollouts []store.Rollout
}

// scopeOf widens a release to all that goes with it.
func scopeOf(named release.Release, all []release.Release, active []store.Rollout) scope {
	in := []release.Release{named}
	var s scope
	for grown := true; grown; {
		grown = false
		for _, o := range active {
			if !slices.ContainsFunc(s.rollouts, func(have store.Rollout) bool { return have.ID == o.ID }) && brings(o, in) {
				s.rollouts, grown = append(s.rollouts, o), true
			}
		}
		for _, r := range all {
			if !slices.ContainsFunc(in, same(r)) && (sharesFile(r, in) || slices.ContainsFunc(s.rollouts, func(o store.Rollout) bool { return bringsOne(o, r) })) {
				in, grown = append(in, r), true
			}
		}
	}
	for _, r := range in {
		s.targets = append(s.targets, Target{SKU: r.SKU, Version: r.Version, Release: r.Name})
	}
	slices.SortFunc(s.targets, func(a, b Target) int { return cmp.Compare(a.Release, b.Release) })
	return s
}

func same(r release.Release) func(release.Release) bool {
	return func(other release.Release) bool { return other.SKU == r.SKU && other.Version == r.Version }
}

func sharesFile(r release.Release, in []release.Release) bool {
	return slices.ContainsFunc(in, func(other release.Release) bool { return other.SHA256 == r.SHA256 })
}

func brings(o store.Rollout, in []release.Release) bool {
	return slices.ContainsFunc(in, func(r release.Release) bool { return bringsOne(o, r) })
}

func bringsOne(o store.Rollout, r release.Release) bool {
	return o.Version == r.Version && slices.Contains(o.SKUs, r.SKU)
}

// version that the targets have for a SKU; zero: none of them is for it.
func versionFor(targets []Target, sku string) compat.Version {
	for _, t := range targets {
		if t.SKU == sku {
			return t.Version
		}
	}
	return compat.Version{}
}

// skus of the targets.
func skus(targets []Target) []string {
	var out []string
	for _, t := range targets {
		if !slices.Contains(out, t.SKU) {
			out = append(out, t.SKU)
		}
	}
	return out
}

// names of the targets' releases.
func names(targets []Target) []string {
	var out []string
	for _, t := range targets {
		out = append(out, t.Release)
	}
	return out
}
