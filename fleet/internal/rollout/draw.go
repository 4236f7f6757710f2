package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// Candidate is a robot that may be given a place.
type Candidate struct {
	ID string
	// Stratum groups robots that are alike, by what they run and where they
	// are: each stage gets its share of every stratum.
	Stratum string
	// Stage is the place that it has already; "": none.
	Stage Stage
}

// Draw gives a place to each candidate that has none, and gives those. Which
// robots come first is chance, out of the plan's seed; who has a place keeps it.
//
// A stratum's share in a stage is right to less than one robot, and so is that
// of the whole fleet: shares are rounded along the sorted strata, so that many
// small ones do not round away the canary. Of two robots one is canary.
func Draw(p Plan, candidates []Candidate) []Candidate {
	var placed []Candidate
	strata := map[string][]Candidate{}
	for _, c := range candidates {
		if !slices.Contains(p.Internal, c.ID) {
			strata[c.Stratum] = append(strata[c.Stratum], c)
		} else if c.Stage == "" {
			c.Stage = Internal
			placed = append(placed, c)
		}
	}
	quotas := p.quotas(strata)
	for _, name := range slices.Sorted(maps.Keys(strata)) {
		placed = append(placed, place(p.Seed, strata[name], quotas[name])...)
	}
	return placed
}

// quota is how many robots of a stratum have had their turn with a stage.
type quota struct{ canary, wide int }

// quotas of the strata, whose rounding is carried on from one to the next.
func (p Plan) quotas(strata map[string][]Candidate) map[string]quota {
	out := map[string]quota{}
	names := slices.Sorted(maps.Keys(strata))
	offset := float64(chance(p.Seed, "offset\x00")>>11) / (1 << 53)
	seen, canaries := 0, 0
	for _, name := range names {
		n := len(strata[name])
		of := func(share float64) int {
			return int(math.Floor(float64(seen+n)*share+offset)) - int(math.Floor(float64(seen)*share+offset))
		}
		q := quota{canary: of(p.Steps.Canary.Share)}
		q.wide = max(q.canary, of(p.Steps.Wide.Share))
		out[name] = q
		seen, canaries = seen+n, canaries+q.canary
	}
	if canaries == 0 && seen > 1 {
		first := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(chance(p.Seed, a), chance(p.Seed, b)) })
		out[first] = quota{canary: 1, wide: max(1, out[first].wide)}
	}
	return out
}

// place gives those of a stratum that have no place what is left of its quota.
func place(seed uint64, in []Candidate, q quota) []Candidate {
	var fresh []Candidate
	have := quota{}
	for _, c := range in {
		switch c.Stage {
		case "":
			fresh = append(fresh, c)
		case Canary:
			have.canary++
			have.wide++
		case Wide:
			have.wide++
		case Internal, Full:
		}
	}
	slices.SortFunc(fresh, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(chance(seed, a.ID), chance(seed, b.ID)), cmp.Compare(a.ID, b.ID))
	})
	for i := range fresh {
		switch {
		case have.canary < q.canary:
			fresh[i].Stage = Canary
			have.canary++
			have.wide++
		case have.wide < q.wide:
			fresh[i].Stage = Wide
			have.wide++
		default:
			fresh[i].Stage = Full
		}
	}
	return fresh
}

// chance is a number that nobody can choose who does not choose the seed.
func chance(seed uint64, of string) uint64 {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, seed), of...))
	return binary.BigEndian.Uint64(sum[:])
}
