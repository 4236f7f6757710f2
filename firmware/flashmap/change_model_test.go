package flashmap_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

// TestChooseAgreesWithTheBootloader holds Choose and AfterReset against the
// model, over every pair of entries.
func TestChooseAgreesWithTheBootloader(t *testing.T) {
	n := 0
	for _, rollback := range []bool{true, false} {
		chips(rollback, func(c chip) {
			n++
			o := parse(t, c)
			if rollback {
				o = o.AfterReset()
			}
			got, at := o.Choose(c.slots)
			booted := c
			if want := booted.boot(); got != want {
				t.Fatalf("chose %v, the bootloader %v: %s", got, want, describe(c))
			}
			if (at < 0) != (got == factory) {
				t.Fatalf("entry %d for %v: %s", at, got, describe(c))
			}
		})
	}
	t.Logf("%d pairs of entries", n)
}

// TestSwitchSurvivesEveryCut cuts every Switch at every flash operation, redoes
// it from there, and cuts the redoing as well.
func TestSwitchSurvivesEveryCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	points := 0
	eachChange(t, func(t *testing.T, c chip, from, to flashmap.Slot) {
		if to == factory {
			return
		}
		o := parse(t, c)
		edits, err := o.Switch(from, to, c.slots)
		if err != nil {
			if st, _ := o.StateOf(from, c.slots); !errors.Is(err, flashmap.ErrOnTrial) || st != flashmap.PendingVerify {
				t.Fatalf("%v → %v: %v: %s", from, to, err, describe(c))
			}
			return
		}
		allowed := mayBoot(c, from, to)
		cuts(t, c, edits, rng, func(cut chip, where string, done bool) {
			points++
			booted := cut
			got := booted.boot()
			if !slices.Contains(allowed, got) {
				t.Fatalf("%v → %v, cut %s: boots %v, allowed %v: %s", from, to, where, got, allowed, describe(c))
			}
			if done {
				checkTrial(t, cut, from, to)
				return
			}
			if !redoFrom(rng, where) {
				return
			}
			redo, err := parse(t, cut).Switch(from, to, c.slots)
			if err != nil {
				t.Fatalf("%v → %v, cut %s, redone: %v: %s", from, to, where, err, describe(c))
			}
			checkTrial(t, apply(cut, redo), from, to)
			if rng.IntN(16) == 0 { // and a second cut, in the redoing
				cuts(t, cut, redo, rng, func(again chip, where2 string, _ bool) {
					points++
					booted := again
					if got := booted.boot(); !slices.Contains(allowed, got) {
						t.Fatalf("%v → %v, cut %s and again %s: boots %v: %s", from, to, where, where2, got, describe(c))
					}
				})
			}
		})
	})
	t.Logf("%d cut points", points)
}

// redoFrom picks the cuts from which a change is redone: all around an erase,
// and one in eight of those inside a write.
func redoFrom(rng *rand.Rand, where string) bool {
	return strings.HasSuffix(where, ", erased") || strings.HasSuffix(where, "half erased") || rng.IntN(8) == 0
}

// mayBoot gives what may boot while going from one slot to another: what
// booted before, and both of them. Where `from` runs without an entry of its
// own (the bootloader fell back on it), factory is part of that falling back.
func mayBoot(c chip, from, to flashmap.Slot) []flashmap.Slot {
	allowed := []flashmap.Slot{from, to, c.boot()}
	if !held(c, from) {
		allowed = append(allowed, factory)
	}
	return allowed
}

// checkTrial demands that `to` boots, on trial where the bootloader knows that,
// that a trial which fails ends in `from`, and that nothing is left to do.
func checkTrial(t *testing.T, c chip, from, to flashmap.Slot) {
	t.Helper()
	o := parse(t, c)
	if st, _ := o.StateOf(to, c.slots); st != flashmap.New {
		t.Fatalf("%v → %v: state %v: %s", from, to, st, describe(c))
	}
	if again, err := o.Switch(from, to, c.slots); err != nil || len(again) != 0 {
		t.Fatalf("%v → %v: %d edits left, %v: %s", from, to, len(again), err, describe(c))
	}
	booted := c
	if got := booted.boot(); got != to {
		t.Fatalf("%v → %v: boots %v: %s", from, to, got, describe(c))
	}
	if c.rollback {
		if got := booted.boot(); got != from {
			t.Fatalf("%v → %v: a failed trial ends in %v: %s", from, to, got, describe(c))
		}
		return
	}
	restore, err := parse(t, booted).Restore(to, from, c.slots)
	if err != nil {
		t.Fatalf("%v → %v: restore: %v", from, to, err)
	}
	booted = apply(booted, restore)
	if got := booted.boot(); got != from {
		t.Fatalf("%v → %v: restored to %v: %s", from, to, got, describe(c))
	}
}

// TestRestoreSurvivesEveryCut cuts every Restore at every flash operation.
func TestRestoreSurvivesEveryCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	points := 0
	eachChange(t, func(t *testing.T, c chip, bad, good flashmap.Slot) {
		edits, err := parse(t, c).Restore(bad, good, c.slots)
		if err != nil {
			t.Fatalf("%v → %v: %v: %s", bad, good, err, describe(c))
		}
		allowed := []flashmap.Slot{good, c2boot(c)}
		if !held(c, good) {
			allowed = append(allowed, factory)
		}
		cuts(t, c, edits, rng, func(cut chip, where string, done bool) {
			points++
			booted := cut
			if got := booted.boot(); !slices.Contains(allowed, got) {
				t.Fatalf("%v → %v, cut %s: boots %v, allowed %v: %s", bad, good, where, got, allowed, describe(c))
			}
			if !done && !redoFrom(rng, where) {
				return
			}
			redo, err := parse(t, cut).Restore(bad, good, c.slots)
			if err != nil || done && len(redo) != 0 {
				t.Fatalf("%v → %v, cut %s, redone: %d edits, %v: %s", bad, good, where, len(redo), err, describe(c))
			}
			cut = apply(cut, redo)
			if held(cut, bad) && bad != factory {
				t.Fatalf("%v → %v, cut %s: %v can still boot: %s", bad, good, where, bad, describe(c))
			}
			for i := range 3 {
				if got := cut.boot(); got != good {
					t.Fatalf("%v → %v, cut %s: boot %d gives %v: %s", bad, good, where, i, got, describe(c))
				}
			}
		})
	})
	t.Logf("%d cut points", points)
}

func c2boot(c chip) flashmap.Slot { return c.boot() }

// TestConfirmSurvivesEveryCut cuts every Confirm at every flash operation: what
// boots is the slot, or what would boot without its entry; redone, the slot
// boots for good.
func TestConfirmSurvivesEveryCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	points, refused := 0, 0
	for _, rollback := range []bool{true, false} {
		chips(rollback, func(c chip) {
			for s := flashmap.Slot(0); int(s) < c.slots; s++ {
				o := parse(t, c)
				chosen, at := o.Choose(c.slots)
				edits, err := o.Confirm(s, c.slots)
				if err != nil {
					refused++
					if !errors.Is(err, flashmap.ErrNotBooted) || chosen == s {
						t.Fatalf("%v: %v: %s", s, err, describe(c))
					}
					continue
				}
				if len(edits) > 1 {
					t.Fatalf("%v: %d edits: %s", s, len(edits), describe(c))
				}
				without := c // the chip without the entry that is rewritten
				for _, e := range edits {
					copy(without.flash[32*(e.Offset/sector):][:32], blankEntry)
				}
				if chosen == s && at == 0 && !bytes.Equal(without.flash[32:], c.flash[32:]) {
					t.Fatalf("%v: touched the other entry: %s", s, describe(c))
				}
				// Another entry that says the slot has failed: with its own gone, Confirm cannot know better.
				_, failed := parse(t, without).StateOf(s, c.slots)
				allowed := []flashmap.Slot{s, c2boot(c), c2boot(without)}
				cuts(t, c, edits, rng, func(cut chip, where string, _ bool) {
					points++
					booted := cut
					if got := booted.boot(); !slices.Contains(allowed, got) {
						t.Fatalf("%v, cut %s: boots %v, allowed %v: %s", s, where, got, allowed, describe(c))
					}
					if failed || !redoFrom(rng, where) {
						return
					}
					redo, err := parse(t, cut).Confirm(s, c.slots)
					if err != nil {
						t.Fatalf("%v, cut %s, redone: %v: %s", s, where, err, describe(c))
					}
					cut = apply(cut, redo)
					for range 3 {
						if got := cut.boot(); got != s {
							t.Fatalf("%v, cut %s: boots %v: %s", s, where, got, describe(c))
						}
					}
				})
			}
		})
	}
	t.Logf("%d cut points, %d refusals", points, refused)
}
