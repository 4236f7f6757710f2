package cuttest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/robot-platform/robot-ota/internal/disk/disktest"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

// cut is one interruption: the n-th event of a kind, what goes wrong there, and
// who suffers it.
type cut struct {
	kind string
	n    uint64 // from 1; of a second cut from the first one on
	how  string
	who  string // esp32, robot (both computers), agent, or what fails by itself: line, cable, flash, server, broker
}

func (c cut) String() string { return fmt.Sprintf("%s/%d/%s/%s", c.kind, c.n, c.how, c.who) }

// point is a flow with one or two cuts.
type point struct {
	flow   string
	first  cut
	second *cut
}

func (p point) String() string {
	s := p.flow + "/" + p.first.String()
	if p.second != nil {
		s += "/second/" + p.second.String()
	}
	return s
}

// parsePoint reads what String writes.
func parsePoint(s string) (point, error) {
	w := strings.Split(s, "/")
	if len(w) != 5 && (len(w) != 10 || w[5] != "second") {
		return point{}, fmt.Errorf("point %q: want flow/kind/number/how/who, and /second/kind/number/how/who for a second cut", s)
	}
	p := point{flow: w[0]}
	var err error
	if p.first, err = parseCut(w[1:5]); err != nil {
		return point{}, err
	}
	if len(w) == 10 {
		second, err := parseCut(w[6:])
		if err != nil {
			return point{}, err
		}
		p.second = &second
	}
	return p, nil
}

func parseCut(w []string) (cut, error) {
	n, err := strconv.ParseUint(w[1], 10, 64)
	if err != nil || n == 0 {
		return cut{}, fmt.Errorf("cut %q: %q is no number of an event", strings.Join(w, "/"), w[1])
	}
	c := cut{kind: w[0], n: n, how: w[2], who: w[3]}
	if !slices.Contains(ways()[c.kind], way{c.how, c.who}) {
		return cut{}, fmt.Errorf("cut %q: no such way to interrupt; of %s there are %v", strings.Join(w, "/"), c.kind, ways()[c.kind])
	}
	return c, nil
}

// way is what can go wrong at an event, and for whom.
type way struct{ how, who string }

// Kinds of events that are counted.
const (
	flashOp    = "flash"     // erase or program
	frameIn    = "frame-in"  // to the chip
	frameOut   = "frame-out" // from the chip
	byteIn     = "byte-in"
	byteOut    = "byte-out"
	byteAny    = "byte" // in both directions together
	file       = "file" // an operation that changes one
	handover   = "line" // the owner of the line is stopped or started
	request    = "http-request"
	chunk      = "http-chunk"
	mqttUp     = "mqtt-up"   // packets to the broker
	mqttDown   = "mqtt-down" // from the broker
	half       = "half"
	before     = "before"
	after      = "after"
	drop       = "drop"
	garble     = "garble"
	double     = "double"
	gone       = "cut"
	esp        = "esp32"
	robotPower = "robot"
	agentOnly  = "agent"
)

// ways are all ways to interrupt, by kind of event.
func ways() map[string][]way {
	frames := []way{{drop, "line"}, {garble, "line"}, {double, "line"}, {"pull", "cable"}, {gone, esp}, {gone, robotPower}, {"mark", agentOnly}}
	bytes := []way{}
	for _, how := range []string{drop, garble, double} {
		for _, run := range []string{"1", "3", "40"} {
			bytes = append(bytes, way{how + run, "line"})
		}
	}
	packets := []way{{drop, "broker"}, {gone, "broker"}, {double, "broker"}, {before, agentOnly}, {after, agentOnly}, {before, robotPower}, {after, robotPower}}
	around := []way{{before, agentOnly}, {after, agentOnly}, {before, robotPower}, {after, robotPower}}
	files := []way{{before, agentOnly}, {half, agentOnly}, {half, robotPower}, {"after-torn", robotPower}, {"eio", "disk"}, {"enospc", "disk"}, {"full", "disk"}}
	for _, f := range disktest.Fates()[1:] {
		files = append(files, way{before + "-" + f.String(), robotPower})
	}
	return map[string][]way{
		flashOp: {{before, esp}, {half, esp}, {after, esp}, {before, robotPower}, {half, robotPower}, {after, robotPower}, {"mark", agentOnly},
			{"lost", "flash"}, {"fail", "flash"}},
		frameIn: frames, frameOut: frames, byteIn: bytes, byteOut: bytes,
		byteAny:  {{"pull", "cable"}, {gone, esp}, {gone, robotPower}},
		file:     files,
		handover: append([]way{{"fail", "owner"}}, around...),
		request:  {{gone, "server"}, {"stall", "server"}, {"500", "server"}, {before, agentOnly}, {after, agentOnly}, {before, robotPower}},
		chunk:    {{gone, "server"}, {"stall", "server"}, {before, agentOnly}, {before, robotPower}},
		mqttUp:   packets, mqttDown: packets,
	}
}

// onChip says whether the simulator performs the cut.
func (c cut) onChip() bool {
	return slices.Contains([]string{flashOp, frameIn, frameOut, byteIn, byteOut, byteAny}, c.kind)
}

// faults is the cut as a plan of the simulator's.
func (c cut) faults() espsim.Faults {
	var f espsim.Faults
	line := &f.ToChip
	if c.kind == frameOut || c.kind == byteOut {
		line = &f.ToHost
	}
	switch c.kind {
	case flashOp:
		switch c.how {
		case before, half, after:
			f.CutAtFlashOp = c.n
			f.Tear = map[string]espsim.Tear{before: espsim.TearBefore, half: espsim.TearHalf, after: espsim.TearAfter}[c.how]
		case "lost":
			f.LoseFlashOp = c.n
		case "fail":
			f.FailFlashOp = c.n
		default:
			f.MarkFlashOp = c.n
		}
	case byteAny:
		if c.how == gone {
			f.CutAtByte = c.n
		} else {
			f.PullAtByte = c.n
		}
	default:
		how := strings.TrimRight(c.how, "0123456789")
		run, _ := strconv.ParseUint(c.how[len(how):], 10, 64) // none is 0
		line.Run = run
		*map[bool]map[string]*uint64{
			true:  {drop: &line.DropByte, garble: &line.GarbleByte, double: &line.DuplicateByte},
			false: {drop: &line.DropFrame, garble: &line.GarbleFrame, double: &line.DuplicateFrame, "pull": &line.PullFrame, gone: &line.CutFrame, "mark": &line.MarkFrame},
		}[run > 0][how] = c.n
	}
	return f
}
