package lies

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The attacks of TUF's and Uptane's lists, and who tries them.
const (
	arbitraryImage = "arbitrary image"
	rollBack       = "roll-back"
	freeze         = "freeze"
	mixAndMatch    = "mix-and-match"
	fastForward    = "fast-forward"
	endlessData    = "endless data"
	slowRetrieval  = "slow retrieval"
	wrongSKU       = "wrong SKU"
	wrongChip      = "wrong chip"
	keyCompromise  = "key compromise"
	droppedRequest = "dropped requests"
	eavesdropping  = "eavesdropping"

	theNetwork = "network"
	theBroker  = "MQTT broker"
	theServer  = "update server"
	aKey       = "one stolen signing key"
	anOnline   = "update server with the online key of release metadata"
)

func attacks() []string {
	return []string{arbitraryImage, rollBack, freeze, mixAndMatch, fastForward, endlessData, slowRetrieval, wrongSKU, wrongChip, keyCompromise,
		droppedRequest, eavesdropping}
}

func attackers() []string { return []string{theNetwork, theBroker, theServer, aKey, anOnline} }

// verdict is what can be said of a cell.
type verdict string

const (
	// refused: the agent sees through it, and says so.
	refused verdict = "refused"
	// limited: it cannot be kept from happening. What is guaranteed all the same
	// stands in the cell, and is what its lies try.
	limited verdict = "limited"
	// empty: this attacker cannot even try.
	empty verdict = "empty"
)

// cell is an attack by an attacker.
type cell struct {
	attack, by string
	verdict    verdict
	// guaranteed says what holds where the attack is not refused, or why there is
	// nothing to try.
	guaranteed string
	settings   func(c *scene) settings
	lies       []lie
	// visits: one of the lies comes as far as the chip's loader, which only the
	// chip can tell. Nothing is written there.
	visits bool
}

// lie is one thing told, and the answer to it.
type lie struct {
	told   string
	tell   func(c *scene) string // the agent's answer: "code: text", or accepted
	answer string                // part of it
}

// scene is where a cell is played.
type scene struct {
	*world
	net   *network
	robot *subject
}

// table is all there is.
func table() []cell {
	return slices.Concat(networkCells(), brokerCells(), serverCells(), keyCells(), onlineCells())
}

// TestTableIsWhole: each attack by each attacker has its cell, once, and each cell
// says what it has to.
func TestTableIsWhole(t *testing.T) {
	missing := map[string]bool{}
	for _, a := range attacks() {
		for _, by := range attackers() {
			missing[a+" × "+by] = true
		}
	}
	for _, c := range table() {
		name := c.attack + " × " + c.by
		if !missing[name] {
			t.Errorf("%s: twice, or of no list", name)
		}
		delete(missing, name)
		if (c.verdict == empty) != (len(c.lies) == 0) || (c.verdict == refused) == (c.guaranteed != "") {
			t.Errorf("%s: %s, with %d lies and the guarantee %q", name, c.verdict, len(c.lies), c.guaranteed)
		}
		for _, l := range c.lies {
			if l.answer == "" || l.told == "" {
				t.Errorf("%s: %+v says too little", name, l)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s: there is no cell", name)
	}
}

// TestLies plays all cells.
func TestLies(t *testing.T) {
	for _, c := range table() {
		t.Run(strings.ReplaceAll(c.attack+" by "+c.by, " ", "-"), func(t *testing.T) {
			t.Parallel()
			if c.verdict == empty {
				return
			}
			c.play(t)
		})
	}
}

func (c cell) play(t *testing.T) {
	s := &scene{world: newWorld(t)}
	s.net = newNetwork(t, s.server.Listener.Addr().String())
	var set settings
	if c.by == theNetwork {
		set.address = s.net.address()
		s.server.base = set.address
	}
	if c.settings != nil {
		set = c.settings(s)
	}
	s.robot = newSubject(t, s.world, set)
	s.server.honest("0.2.1", s.good())
	told, taken := 0, 0
	for _, l := range c.lies {
		said := l.tell(s)
		told++
		t.Logf("%s → %.300s", l.told, said)
		if said == accepted {
			s.robot.drop()
			if l.answer != accepted {
				taken++
			}
		}
		if !strings.Contains(said, l.answer) {
			t.Errorf("%s:\n got %s\nwant %s", l.told, said, l.answer)
		}
		if wrong := s.robot.untouched(); wrong != "" && !c.visits {
			t.Errorf("%s: %s", l.told, wrong)
			break
		}
	}
	s.sober(t)
	s.robot.done()
	if s.robot.sum() != s.robot.before {
		t.Error("the flash is not what it was")
	}
	failures := 0
	if t.Failed() {
		failures = 1
	}
	report(t, figures{Part: "lies: " + c.attack + " × " + c.by, Points: told, Accepted: taken, Failures: failures})
}

// sober: after all the lies an honest offer of an honest server is taken. That it
// is shows that the refusals were meant.
func (s *scene) sober(t *testing.T) {
	t.Helper()
	s.net.set(nil, nil)
	s.server.honest("0.2.1", s.good())
	s.list(s.repo, listed("0.2.1", s.good()))
	if said := s.robot.check(); said != accepted {
		t.Errorf("an honest offer after the lies: %s", said)
		return
	}
	s.robot.drop()
}

// figures are what a part reports.
type figures struct {
	Part     string `json:"part"`
	Points   int    `json:"points"`
	Accepted int    `json:"accepted"`
	Failures int    `json:"failures"`
}

// report appends to the file that ROBOT_OTA_PROOF_REPORT names.
func report(t *testing.T, l figures) {
	t.Helper()
	path := os.Getenv("ROBOT_OTA_PROOF_REPORT")
	if path == "" {
		return
	}
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(f, "%s\n", b); err != nil { // one write: lines of several tests do not mix
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
