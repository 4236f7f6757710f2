package rollout

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s: %.8g, want %.8g", what, got, want)
	}
}

// Values from R: pbinom, phyper, wilcox.test(exact=TRUE), qnorm.
func TestKnownValues(t *testing.T) {
	near(t, "binomial 3 of 10 at 0.1", binomialTail(3, 10, 0.1), 0.07019083, 1e-7)
	near(t, "binomial 5 of 100 at 0.01", binomialTail(5, 100, 0.01), 0.003432322, 1e-8)
	near(t, "binomial 0", binomialTail(0, 10, 0.1), 1, 0)
	near(t, "binomial 11 of 10", binomialTail(11, 10, 0.1), 0, 0)
	near(t, "binomial 1 of 1", binomialTail(1, 1, 0.01), 0.01, 1e-12)
	near(t, "fisher, the lady's tea", fisher(3, 4, 1, 4), 17.0/70, 1e-12)
	near(t, "fisher 0", fisher(0, 4, 3, 4), 1, 1e-12)
	near(t, "rank sum, all above", rankSum([]float64{4, 5, 6}, []float64{1, 2, 3}), 1.0/20, 1e-12)
	near(t, "rank sum, all below", rankSum([]float64{1, 2, 3}, []float64{4, 5, 6}), 1, 1e-12)
	near(t, "rank sum, all tied", rankSum([]float64{1, 1, 1}, []float64{1, 1, 1}), 1, 1e-12)
	near(t, "rank sum, one tie", rankSum([]float64{2, 3}, []float64{1, 2}), 2.0/6, 1e-12)
	near(t, "rank sum of nobody", rankSum(nil, []float64{1}), 1, 0)
	near(t, "normal", normalTail(1.959963985), 0.025, 1e-9)
	near(t, "quantile", normalQuantile(0.025), 1.959963985, 1e-8)
	lower, upper := wilson(81, 263, 0.025)
	near(t, "wilson", lower, 0.2553, 1e-4) // Newcombe 1998, method 3
	near(t, "wilson", upper, 0.3662, 1e-4)
	near(t, "newcombe", differenceBelow(56, 70, 48, 80, 0.025), 0.3339, 1e-4) // Newcombe 1998, method 10
	near(t, "detectable", detectable(100, 900, 0.95), 0.02951, 1e-5)
	near(t, "needed", float64(needed(0.1, 0.95)), 29, 0)
}

// The normal rank sum goes over into the exact one.
func TestRankSumApproximation(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var a, b []float64
		for range 20 {
			a = append(a, math.Round(10*random.NormFloat64()+4))
			b = append(b, math.Round(10*random.NormFloat64()))
		}
		doubled, ties := ranks(a, b)
		w := 0
		for _, r := range doubled[:20] {
			w += r
		}
		near(t, "rank sum", normalRankSum(20, 20, w, ties), exactRankSum(doubled, 20, w), 0.004)
	}
}

// If the groups are alike, p is small as seldom as it says, also with many ties.
func TestTestsKeepTheirLevel(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	const rounds = 2000
	low := map[string]int{}
	for range rounds {
		var a, b []float64
		for i := range 240 {
			x := math.Sqrt(math.Round(3 * math.Exp(random.NormFloat64())))
			if i < 40 {
				a = append(a, x)
			} else {
				b = append(b, x)
			}
		}
		single, _ := outlier(a, b)
		few, _, _ := extremes(a, b)
		for name, p := range map[string]float64{"rank_sum": rankSum(a, b), "outliers": single, "extremes": few} {
			if p <= 0.02 {
				low[name]++
			}
		}
	}
	for name, n := range low {
		if n > 60 { // 40 expected
			t.Errorf("%s: p was below 0.02 %d times of %d", name, n, rounds)
		}
	}
	if low["rank_sum"] < 20 {
		t.Errorf("the rank sum never finds anything: %v", low)
	}
}

// One robot that is out of all measure among a hundred is found, one that is
// the worst by a little is not.
func TestOutlier(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	var a, b []float64
	for i := range 1000 {
		if x := math.Abs(random.NormFloat64()); i < 100 {
			a = append(a, x)
		} else {
			b = append(b, x)
		}
	}
	a[7] = 5
	if p, _ := outlier(a, b); p < 0.05 {
		t.Errorf("a little: %g", p)
	}
	a[7] = 20
	if p, _ := outlier(a, b); p > 1e-4 {
		t.Errorf("out of all measure: %g", p)
	}
	if x := conspicuous(100, b, 0.001); !(x > 25 && x < 400) {
		t.Errorf("conspicuous from %g minutes a day on", x)
	}
	if p, _ := outlier(a, b[:leastGroup-1]); p != 1 {
		t.Errorf("a small control group says nothing: %g", p)
	}
	if x := conspicuous(100, b[:5], 0.001); !math.IsInf(x, 1) {
		t.Errorf("conspicuous: %g", x)
	}
}

func TestShift(t *testing.T) {
	var a, b []float64
	for i := range 1000 {
		a, b = append(a, float64(i)/100+3), append(b, float64(i)/100)
	}
	near(t, "shift", shift(a, b), 3, 0.05)
	near(t, "shift of nobody", shift(nil, b), 0, 0)
}
