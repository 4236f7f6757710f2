package rollout

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// fleetOf makes candidates of strata with these sizes, and the test robots.
func fleetOf(sizes ...int) []Candidate {
	all := []Candidate{{ID: "lab-1"}, {ID: "lab-2"}}
	for i, n := range sizes {
		for k := range n {
			all = append(all, Candidate{ID: fmt.Sprintf("r-%d-%d", i, k), Stratum: fmt.Sprint("site-", i)})
		}
	}
	return all
}

// counted tells how many robots of a stratum have had their turn with a stage;
// stratum "": of all.
func counted(placed []Candidate, stratum string, until Stage) (n, of int) {
	for _, c := range placed {
		if c.Stage == Internal || stratum != "" && c.Stratum != stratum {
			continue
		}
		of++
		if !until.Before(c.Stage) {
			n++
		}
	}
	return n, of
}

// right says whether n of so many is the share, rounded.
func right(n, of int, share float64, slack float64) bool {
	return math.Abs(float64(n)-share*float64(of)) < slack
}

func TestDrawProportions(t *testing.T) {
	for seed := range uint64(200) {
		p := plan(t)
		p.Seed = seed
		random := rand.New(rand.NewPCG(seed, 1))
		var sizes []int
		for range 1 + random.IntN(30) {
			sizes = append(sizes, 1+random.IntN(60))
		}
		all := fleetOf(sizes...)
		placed := Draw(p, all)
		if len(placed) != len(all) {
			t.Fatalf("seed %d: %d of %d have a place", seed, len(placed), len(all))
		}
		for stage, share := range map[Stage]float64{Canary: 0.1, Wide: 0.5, Full: 1} {
			if n, of := counted(placed, "", stage); of > 10 && !right(n, of, share, 1.0001+0.02*float64(len(sizes))) {
				t.Errorf("seed %d: %d of %d are %s", seed, n, of, stage)
			}
			for i := range sizes {
				if n, of := counted(placed, fmt.Sprint("site-", i), stage); !right(n, of, share, 1.0001) {
					t.Errorf("seed %d: %d of %d of stratum %d are %s", seed, n, of, i, stage)
				}
			}
		}
		if n, of := counted(placed, "", Canary); of > 1 && n == 0 {
			t.Errorf("seed %d: no canary of %d", seed, of)
		}
		for _, c := range placed {
			if (c.Stage == Internal) != slices.Contains(p.Internal, c.ID) {
				t.Errorf("%+v", c)
			}
		}
	}
}

// The order in which robots are told is no chance, and the seed is all of it.
func TestDrawIsStable(t *testing.T) {
	p, all := plan(t), fleetOf(40, 7)
	stages := func(placed []Candidate) map[string]Stage {
		m := map[string]Stage{}
		for _, c := range placed {
			m[c.ID] = c.Stage
		}
		return m
	}
	want := stages(Draw(p, all))
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if !reflect.DeepEqual(stages(Draw(p, shuffled)), want) {
		t.Error("the order matters")
	}
	p.Seed++
	if reflect.DeepEqual(stages(Draw(p, all)), want) {
		t.Error("the seed does not matter")
	}
}

// Robots that come later never move another, and the shares stay right.
func TestDrawLater(t *testing.T) {
	for seed := range uint64(50) {
		p := plan(t)
		p.Seed = seed
		random := rand.New(rand.NewPCG(seed, 3))
		all := Draw(p, fleetOf(10, 30))
		for i := range 60 {
			was := slices.Clone(all)
			late := Candidate{ID: fmt.Sprint("late-", i), Stratum: fmt.Sprint("site-", random.IntN(3))}
			fresh := Draw(p, append(slices.Clone(all), late))
			if len(fresh) != 1 || fresh[0].ID != late.ID || fresh[0].Stage == "" {
				t.Fatalf("%+v", fresh)
			}
			if all = append(all, fresh...); !reflect.DeepEqual(all[:len(was)], was) {
				t.Fatal("somebody moved")
			}
		}
		for stratum := range 3 {
			for stage, share := range map[Stage]float64{Canary: 0.1, Wide: 0.5} {
				if n, of := counted(all, fmt.Sprint("site-", stratum), stage); !right(n, of, share, 2) {
					t.Errorf("seed %d: %d of %d of stratum %d are %s", seed, n, of, stratum, stage)
				}
			}
		}
	}
}

// Each robot is canary with the plan's share, whatever its name.
func TestDrawIsFair(t *testing.T) {
	const draws = 2000
	times := map[string]int{}
	for seed := range uint64(draws) {
		p := plan(t)
		p.Seed = seed
		for _, c := range Draw(p, fleetOf(15, 5)) {
			if c.Stage == Canary {
				times[c.ID]++
			}
		}
	}
	if len(times) != 20 {
		t.Errorf("%d robots of 20 are canary now and then", len(times))
	}
	for id, n := range times { // 200 expected, with a deviation of 13
		if n < 130 || n > 270 {
			t.Errorf("%s was canary %d times of %d", id, n, draws)
		}
	}
}

func TestDrawSmall(t *testing.T) {
	p := plan(t)
	for n, want := range map[int]int{0: 0, 1: 0, 2: 1, 3: 1} {
		p.Seed = 1 // its offset rounds down
		if got, _ := counted(Draw(p, fleetOf(n)), "", Canary); got > 1 || n > 1 && got != want {
			t.Errorf("%d canaries of %d", got, n)
		}
	}
}
