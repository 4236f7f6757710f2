package cuttest

import (
	"testing"

	"github.com/robot-platform/robot-ota/sim/espsim"
)

func TestPointsAreReadAsTheyAreWritten(t *testing.T) {
	for _, s := range []string{
		"good/flash/213/half/robot", "hang/byte-in/7/drop40/line/second/mqtt-up/4/after/agent", "mqtt/file/1/before-torn/robot",
	} {
		p, err := parsePoint(s)
		if err != nil || p.String() != s {
			t.Errorf("%s is read as %s: %v", s, p, err)
		}
	}
	for _, s := range []string{
		"", "good/flash/213/half", "good/flash/0/half/robot", "good/flash/x/half/robot", "good/flash/1/half/line", "good/nothing/1/half/robot",
		"good/flash/1/half/robot/third/flash/1/half/robot", "good/flash/1/half/robot/second/flash/1/half/nobody",
	} {
		if p, err := parsePoint(s); err == nil {
			t.Errorf("%q is read as %s", s, p)
		}
	}
}

// Each way on the chip is a plan of the simulator's, and no two are the same.
func TestWaysBecomeFaults(t *testing.T) {
	seen := map[espsim.Faults]cut{}
	for kind, all := range ways() {
		for _, w := range all {
			c := cut{kind, 5, w.how, w.who}
			if !c.onChip() {
				continue
			}
			f := c.faults()
			had, twice := seen[f]
			if f == (espsim.Faults{}) || twice && had.who == c.who { // whose power it is, the world decides
				t.Errorf("%s is %+v, as %s", c, f, had)
			}
			seen[f] = c
		}
	}
}
