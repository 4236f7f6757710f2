package emergency

import (
	"context"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Reach is how far a robot has come with what it was told.
type Reach string

// The reaches, from far to near.
const (
	Untold   Reach = "untold"   // it runs the release, or is on its way to it, and has no command
	Queued   Reach = "queued"   // the broker has not taken the command
	Sent     Reach = "sent"     // the broker has it, the robot has not answered
	Refused  Reach = "refused"  // it answered that it does not do it
	Accepted Reach = "accepted" // it answered, and has not done it yet
	Complied Reach = "complied" // it reports another firmware
	Unheard  Reach = "unheard"  // nobody knows what it runs
)

// RobotProgress is that of a robot.
type RobotProgress struct {
	Robot   string         `json:"robot"`
	SKU     string         `json:"sku"`
	Reach   Reach          `json:"reach"`
	Verb    store.Verb     `json:"command,omitempty"`
	Code    string         `json:"code,omitempty"` // of a refusal
	Running compat.Version `json:"running,omitzero"`
	Job     string         `json:"job,omitempty"` // state of its job
	Online  bool           `json:"online"`
	Heard   time.Time      `json:"heard,omitzero"`
}

// left says that the robot stands between the incident and its end.
func (p RobotProgress) left() bool { return p.Reach != Complied && p.Reach != Unheard }

// Progress is how far an incident of a release has come.
type Progress struct {
	Incident store.Incident `json:"incident"`
	Targets  []Target       `json:"targets"`
	// Robots that were told, or have to be, or of which nothing is known.
	Robots []RobotProgress `json:"robots"`
	// Counts of them. Unreached ones have not answered yet; Running ones run the
	// release all the same, which after a halt is how it stays.
	Complied  int `json:"complied"`
	Left      int `json:"left"`
	Unreached int `json:"unreached"`
	Unheard   int `json:"unheard"`
	Running   int `json:"running"`
	// Done: nobody is left. Those of which nothing is known are not counted as left.
	Done bool `json:"done"`
}

// Progress tells how far an incident has come.
func (s *Service) Progress(ctx context.Context, incident string) (Progress, error) {
	var p Progress
	err := s.store.View(ctx, func(from *store.Reader) error {
		i, err := from.Incident(ctx, incident)
		if err != nil {
			return err
		}
		r, _ := recordOf(i)
		told, err := commandsOf(ctx, from, incident)
		if err != nil {
			return err
		}
		p = Progress{Incident: i, Targets: append([]Target{}, r.Targets...), Robots: []RobotProgress{}}
		return eachOf(ctx, from, r.Targets, func(robot store.Robot, bad compat.Version) {
			p.add(robot, needOf(robot.State, bad), r.Rollback, told[robot.ID])
		})
	})
	p.Done = p.Left == 0
	return p, err
}

func (p *Progress) add(robot store.Robot, n need, rollback bool, told []store.Command) {
	if n == putBack || n == returning {
		p.Running++
	}
	line, ok := progressOf(robot, n, rollback, told)
	if !ok {
		return
	}
	p.Robots = append(p.Robots, line)
	switch line.Reach {
	case Complied:
		p.Complied++
	case Unheard:
		p.Unheard++
	case Untold, Queued, Sent:
		p.Unreached++
	case Refused, Accepted:
	}
	if line.left() {
		p.Left++
	}
}

// progressOf tells how far a robot has come; false: it has nothing to do with
// the incident.
func progressOf(robot store.Robot, n need, rollback bool, told []store.Command) (RobotProgress, bool) {
	st := robot.State
	p := RobotProgress{Robot: robot.ID, SKU: robot.SKU, Running: st.Version, Job: st.JobState, Online: st.Online, Heard: st.Received}
	waiting := open(told)
	switch {
	case n == clear && len(told) > 0:
		p.Verb, p.Reach = told[len(told)-1].Verb, Complied
	case len(waiting) > 0:
		last := waiting[len(waiting)-1]
		p.Verb, p.Code, p.Reach = last.Verb, last.Code, reachOf(last)
	case n == unheard:
		p.Reach = Unheard
	case n == giveUp, rollback && (n == putBack || n == returning):
		p.Reach = Untold
	default:
		return RobotProgress{}, false
	}
	return p, true
}

func reachOf(c store.Command) Reach {
	switch {
	case !c.Acknowledged.IsZero() && c.Verdict == "refused":
		return Refused
	case !c.Acknowledged.IsZero():
		return Accepted
	case !c.Sent.IsZero():
		return Sent
	}
	return Queued
}
