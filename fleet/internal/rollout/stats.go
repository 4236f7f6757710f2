package rollout

import (
	"math"
	"slices"
)

// binomialTail is the probability of at least k hits among n of probability p.
func binomialTail(k, n int, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		term := math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		if sum += term; float64(i) > float64(n)*p && term < sum*1e-16 {
			break
		}
	}
	return min(sum, 1)
}

// fisher is the one-sided exact probability that of the hits, which fell on
// treated and control together, at least a fell on the treated.
func fisher(a, treated, b, control int) float64 {
	hits, all := a+b, treated+control
	sum := 0.0
	for i := a; i <= min(hits, treated); i++ {
		if hits-i <= control {
			sum += math.Exp(logChoose(treated, i) + logChoose(control, hits-i) - logChoose(all, hits))
		}
	}
	return min(sum, 1)
}

func logChoose(n, k int) float64 {
	of := func(n int) float64 { v, _ := math.Lgamma(float64(n) + 1); return v }
	return of(n) - of(k) - of(n-k)
}

// exactUpTo is how many robots, of both groups together, the rank sum's
// distribution is counted out for; above it is normal to three digits.
const exactUpTo = 40

// rankSum is the one-sided probability that ranks fall as much on the side of
// the treated, or more, if the groups are alike (Wilcoxon, Mann and Whitney).
// Ties share their ranks.
func rankSum(treated, control []float64) float64 {
	n, m := len(treated), len(control)
	if n == 0 || m == 0 {
		return 1
	}
	doubled, ties := ranks(treated, control)
	w := 0
	for _, r := range doubled[:n] {
		w += r
	}
	if n+m <= exactUpTo {
		return exactRankSum(doubled, n, w)
	}
	return normalRankSum(n, m, w, ties)
}

// normalRankSum is for twice the rank sum of n of n+m robots.
func normalRankSum(n, m, w int, ties float64) float64 {
	all := float64(n + m)
	mean := float64(n) * (all + 1)
	variance := float64(n) * float64(m) / 3 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 1 // all are tied
	}
	return normalTail((float64(w) - 1 - mean) / math.Sqrt(variance)) // half a rank of continuity
}

// ranks gives twice the rank of each value, the treated first, and Σ(t³-t) over
// groups of t equal values.
func ranks(treated, control []float64) (doubled []int, ties float64) {
	values := append(slices.Clone(treated), control...)
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	doubled = make([]int, len(values))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && values[order[to]] == values[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			doubled[i] = from + 1 + to // twice the mean of the ranks from+1 … to
		}
		t := float64(to - from)
		ties += t*t*t - t
		from = to
	}
	return doubled, ties
}

// exactRankSum counts how many of all choices of n robots have a sum of w or more.
func exactRankSum(doubled []int, n, w int) float64 {
	most := 0
	for _, r := range doubled {
		most += r
	}
	// ways[k][s]: choices of k robots whose sum is s.
	ways := make([][]float64, n+1)
	for k := range ways {
		ways[k] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for i, r := range doubled {
		for k := min(i+1, n); k > 0; k-- {
			for s := most; s >= r; s-- {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	hits, all := 0.0, 0.0
	for s, n := range ways[n] {
		if all += n; s >= w {
			hits += n
		}
	}
	return hits / all
}

func normalTail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// normalQuantile is z with normalTail(z) = p, for p from 1e-12 to 0.5.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfcinv(2*p) }

// shift is how much more the treated have than the control: the median of all
// differences (Hodges and Lehmann), for large groups of a thinned choice of them.
func shift(treated, control []float64) float64 {
	if len(treated) == 0 || len(control) == 0 {
		return 0
	}
	a, b := thinned(treated), thinned(control)
	differences := make([]float64, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			differences = append(differences, x-y)
		}
	}
	slices.Sort(differences)
	return differences[len(differences)/2]
}

// thinned gives at most 400 quantiles of the values.
func thinned(values []float64) []float64 {
	const most = 400
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) <= most {
		return sorted
	}
	out := make([]float64, most)
	for i := range out {
		out[i] = sorted[(2*i+1)*len(sorted)/(2*most)]
	}
	return out
}

// differenceBelow is the upper bound, with the one-sided error alpha, of how
// much larger the share a/n is than b/m (Newcombe's interval of Wilson's).
func differenceBelow(a, n, b, m int, alpha float64) float64 {
	p, q := float64(a)/float64(n), float64(b)/float64(m)
	_, upper := wilson(a, n, alpha)
	lower, _ := wilson(b, m, alpha)
	return p - q + math.Hypot(upper-p, q-lower)
}

// notAbove is the error with which a/n is shown to be above b/m by no more than
// the margin.
func notAbove(a, n, b, m int, margin float64) float64 {
	low, high := 1e-9, 0.5
	if differenceBelow(a, n, b, m, high) > margin {
		return high
	}
	for range 60 {
		if middle := math.Sqrt(low * high); differenceBelow(a, n, b, m, middle) > margin {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// wilson bounds a share from both sides, each with the error alpha.
func wilson(a, n int, alpha float64) (lower, upper float64) {
	z, count, p := normalQuantile(alpha), float64(n), float64(a)/float64(n)
	middle := (p + z*z/(2*count)) / (1 + z*z/count)
	half := z / (1 + z*z/count) * math.Sqrt(p*(1-p)/count+z*z/(4*count*count))
	return max(0, middle-half), min(1, middle+half)
}

// Bounds of the outliers test.
const (
	tailShare  = 0.03
	leastTail  = 5  // robots in it
	leastGroup = 20 // robots in a control group whose tail says something
)

// outlier is the probability that the worst of the treated is as far out as it
// is, or farther, if the treated are like the control group, and how far it lies
// beyond the worst of that group.
//
// Ranks cannot tell a single harmed robot: the worst of all is among a tenth of
// them one time in ten. So the tail of the control group is carried on beyond
// its worst robot: exponentially from its upper thirtieth on, with a mean that is
// two standard errors above that of the tail. What is compared are square roots
// of counts, so that this is a heavy tail of the counts themselves.
func outlier(treated, control []float64) (p, beyond float64) {
	n, m := len(treated), len(control)
	if n == 0 || m < leastGroup {
		return 1, 0
	}
	worst := slices.Max(treated)
	sorted := slices.Sorted(slices.Values(control))
	k := max(leastTail, int(tailShare*float64(m)))
	from := sorted[m-k-1]
	mean := 0.0
	for _, x := range sorted[m-k:] {
		mean += (x - from) / float64(k)
	}
	if beyond = worst - sorted[m-1]; beyond <= 0 {
		return 1, beyond
	}
	mean = math.Max(mean, leastScatter) * (1 + 2/math.Sqrt(float64(k)))
	single := float64(k) / float64(m) * math.Exp(-(worst-from)/mean)
	return -math.Expm1(float64(n) * math.Log1p(-min(single, 1-1e-12))), beyond
}

// extremes is the exact probability that so many of the worst robots are
// treated, or more, if the groups are alike: of the worst fiftieth of all, at
// least five. Robots that share the value at its edge are not among them.
func extremes(treated, control []float64) (p float64, a, b int) {
	all := slices.Sorted(slices.Values(append(slices.Clone(treated), control...)))
	k := max(leastTail, len(all)/50)
	if len(treated) == 0 || len(control) == 0 || len(all) <= k {
		return 1, 0, 0
	}
	edge := all[len(all)-k-1]
	above := func(values []float64) (n int) {
		for _, x := range values {
			if x > edge {
				n++
			}
		}
		return n
	}
	a, b = above(treated), above(control)
	return fisher(a, len(treated), b, len(control)), a, b
}

// leastScatter is what the square root of minutes a day varies by at least: a
// control group without a single bad minute does not make one of them a wonder.
const leastScatter = 1.0

// conspicuous is how many minutes a day a treated robot, which had none before,
// would need for the outliers test to notice it.
func conspicuous(n int, control []float64, alpha float64) float64 {
	low, high := 0.0, 1e3
	hidden := func(x float64) bool {
		p, _ := outlier(append(make([]float64, max(0, n-1)), x), control)
		return p > alpha
	}
	if len(control) < leastGroup || hidden(high) {
		return math.Inf(1)
	}
	for range 50 {
		if middle := (low + high) / 2; hidden(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high * high
}
