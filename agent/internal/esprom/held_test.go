package esprom_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// TestExpected: what the slot held is believed if the chip agrees in a few
// places, which spares most questions; whatever is wrong about it, the flash
// holds the data in the end.
func TestExpected(t *testing.T) {
	data := content(500_000, 3)
	old := bytes.Clone(data)
	for _, at := range []int{50, 200_000, 499_999} {
		old[at] ^= 1
	}
	askAll := 30 * time.Millisecond // what to ask for every part of it takes
	for _, tc := range []struct {
		name   string
		before []byte // what the flash holds
		held   []byte // what it is thought to hold
		spares bool
	}{
		{"right", old, old, true},
		{"right, and all is there", data, data, false}, // one question tells that in any case
		{"right, of a shorter one", old, old[:480_000], true},
		{"another image", old, content(500_000, 8), false},
		{"wrong in one sector", append(append(bytes.Clone(old[:300_000]), 0xEE), old[300_001:]...), old, false},
		{"wrong, and the flash is right", data, old, false},
		{"of nothing", old, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			took := map[bool]time.Duration{}
			for _, told := range []bool{false, true} {
				flash := make([]byte, 8<<20)
				copy(flash[slot0:], tc.before)
				bubble(t, espsim.Config{Timing: espsim.RealTiming(), Flash: flash}, func(t *testing.T, chip *espsim.Chip) {
					s := connect(t, chip, esprom.Options{})
					if told {
						s.Expect(slot0, esprom.HeldOf(tc.held))
					}
					start := time.Now()
					write(t, s, slot0, data)
					took[told] = time.Since(start)
					holds(t, chip, slot0, data)
				})
			}
			if spared := took[false] - took[true]; tc.spares != (spared > askAll) {
				t.Errorf("%v when told, %v when not", took[true], took[false])
			}
		})
	}
}

// TestExpectedElsewhere: it counts for one write from that place.
func TestExpectedElsewhere(t *testing.T) {
	old, data := content(100_000, 1), content(100_000, 2)
	bubble(t, espsim.Config{Unpaced: true}, func(t *testing.T, chip *espsim.Chip) {
		s := connect(t, chip, esprom.Options{})
		write(t, s, slot0, old)
		s.Expect(slot0, esprom.HeldOf(old))
		write(t, s, slot0+0x10000, data[:40_000])
		write(t, s, slot0, data)
		s.Expect(slot0, esprom.HeldOf(old))
		write(t, s, slot0, old)
		write(t, s, slot0, data)
		holds(t, chip, slot0, data)
	})
}
