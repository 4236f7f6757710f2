package emergency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// batch is how many robots a transaction is about: few enough that others who
// write need not wait.
const batch = 200

// Fence is called first in each transaction of Follow: a server's check that it
// leads still.
type Fence func(ctx context.Context, tx *store.Tx) error

// NoFence is that of a command, which needs no lease: what it does, and a server
// does as well, is done once.
func NoFence(context.Context, *store.Tx) error { return nil }

// Follow does once what the open incidents ask for.
func (s *Service) Follow(ctx context.Context, fence Fence) error {
	incidents, err := s.store.Incidents(ctx, true)
	if err != nil {
		return err
	}
	var failed error
	for _, i := range incidents {
		if err := s.FollowOne(ctx, fence, i.ID); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// FollowOne is Follow for one incident.
func (s *Service) FollowOne(ctx context.Context, fence Fence, incident string) error {
	i, err := s.store.Incident(ctx, incident)
	if err == nil && i.Kind == KindKeyCompromise {
		err = s.followKey(ctx, fence, incident)
	} else if err == nil {
		err = s.followRelease(ctx, fence, incident)
	}
	if err != nil {
		return fmt.Errorf("incident %s: %w", incident, err)
	}
	return nil
}

func (s *Service) followRelease(ctx context.Context, fence Fence, incident string) error {
	robots, p, err := s.due(ctx, incident)
	if err != nil {
		return err
	}
	fenced := func(f func(tx *store.Tx) error) error {
		return s.store.Update(ctx, "follow", func(tx *store.Tx) error {
			if err := fence(ctx, tx); err != nil {
				return err
			}
			return f(tx)
		})
	}
	for part := range slices.Chunk(robots, s.batch) {
		if err := fenced(func(tx *store.Tx) error { return s.advance(ctx, tx, incident, part) }); err != nil {
			return err
		}
	}
	if r, _ := recordOf(p.Incident); !tellable(r.Complied, p) {
		return nil
	}
	return fenced(func(tx *store.Tx) error { return tellComplied(ctx, tx, p) })
}

// due lists the robots about which there is something to do, and tells how far
// all have come. Of an incident that is over, or not of a release, it lists none.
func (s *Service) due(ctx context.Context, incident string) ([]string, Progress, error) {
	var ids []string
	var p Progress
	err := s.store.View(ctx, func(from *store.Reader) error {
		i, err := from.Incident(ctx, incident)
		if err != nil {
			return err
		}
		r, ok := recordOf(i)
		if !ok || !i.Closed.IsZero() {
			return nil
		}
		told, err := commandsOf(ctx, from, incident)
		if err != nil {
			return err
		}
		now := s.now()
		p.Incident = i
		err = eachOf(ctx, from, r.Targets, func(robot store.Robot, bad compat.Version) {
			if !stepOf(i, r, robot, told[robot.ID], now).empty() {
				ids = append(ids, robot.ID)
			}
			p.add(robot, needOf(robot.State, bad), r.Rollback, told[robot.ID])
			delete(told, robot.ID)
		})
		for _, gone := range slices.Sorted(maps.Keys(told)) { // robots that were removed
			if len(open(told[gone])) > 0 {
				ids = append(ids, gone)
			}
		}
		return err
	})
	return ids, p, err
}

// few robots are named in the time line, of more it tells the number.
const few = 20

// tellable says whether the time line is to tell of those who have complied:
// each time that it were more, but of many robots only each twentieth part.
func tellable(last int, p Progress) bool {
	told := p.Complied + p.Left
	return p.Complied > last && (p.Left == 0 || told <= few || (p.Complied-last)*20 >= told)
}

func tellComplied(ctx context.Context, tx *store.Tx, p Progress) error {
	i, err := tx.Incident(ctx, p.Incident.ID)
	if err != nil {
		return err
	}
	r, _ := recordOf(i)
	if r.Complied >= p.Complied || !i.Closed.IsZero() { // somebody else told it
		return nil
	}
	r.Complied = p.Complied
	if err := tx.SetIncidentData(ctx, i.ID, encoded(r)); err != nil {
		return err
	}
	line := fmt.Sprintf("complied: %d of %d", p.Complied, p.Complied+p.Left)
	if p.Complied <= few {
		var robots []string
		for _, robot := range p.Robots {
			if robot.Reach == Complied {
				robots = append(robots, robot.Robot)
			}
		}
		line += ": " + some(robots)
	}
	return note(ctx, tx, i.ID, "", line)
}

// commandsOf are an incident's commands, by robot.
func commandsOf(ctx context.Context, from *store.Reader, incident string) (map[string][]store.Command, error) {
	all, err := from.Commands(ctx, store.CommandQuery{Incident: incident})
	if err != nil {
		return nil, err
	}
	told := map[string][]store.Command{}
	for _, c := range all {
		told[c.Robot] = append(told[c.Robot], c)
	}
	return told, nil
}

// advance does what is to be done about robots, as they are now, and writes it
// into the time line.
func (s *Service) advance(ctx context.Context, tx *store.Tx, incident string, robots []string) error {
	i, err := tx.Incident(ctx, incident)
	if err != nil {
		return err
	}
	r, _ := recordOf(i)
	if !i.Closed.IsZero() {
		return nil
	}
	var did chronicle
	for _, id := range robots {
		have, err := tx.Commands(ctx, store.CommandQuery{Incident: incident, Robot: id})
		if err != nil {
			return err
		}
		robot, err := tx.Robot(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			if err := drop(ctx, tx, open(have)); err != nil {
				return err
			}
			did.gone = append(did.gone, id)
			continue
		}
		if err != nil {
			return err
		}
		next := stepOf(i, r, robot, have, s.now())
		if err := apply(ctx, tx, id, next); err != nil {
			return err
		}
		did.add(id, next)
	}
	return did.write(ctx, tx, incident)
}

func drop(ctx context.Context, tx *store.Tx, commands []store.Command) error {
	for _, c := range commands {
		if err := tx.Drop(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

func apply(ctx context.Context, tx *store.Tx, robot string, next step) error {
	if err := tx.Drop(ctx, next.drop...); err != nil {
		return err
	}
	for _, id := range next.comply {
		if _, err := tx.Comply(ctx, robot, id); err != nil {
			return err
		}
	}
	if len(next.enqueue) == 0 {
		return nil
	}
	return tx.Enqueue(ctx, next.enqueue...)
}

// chronicle is whom a transaction told what.
type chronicle struct{ putBack, giveUp, gone []string }

func (c *chronicle) add(robot string, did step) {
	for _, command := range did.enqueue {
		if command.Verb == store.VerbRollback {
			c.putBack = append(c.putBack, robot)
		} else {
			c.giveUp = append(c.giveUp, robot)
		}
	}
}

func (c *chronicle) write(ctx context.Context, tx *store.Tx, incident string) error {
	for _, line := range []struct {
		what   string
		robots []string
	}{
		{"told to put it back", c.putBack}, {"told to give it up before it is installed", c.giveUp}, {"not in the fleet any more", c.gone},
	} {
		if len(line.robots) == 0 {
			continue
		}
		if err := note(ctx, tx, incident, "", line.what+": "+some(line.robots)); err != nil {
			return err
		}
	}
	return nil
}

// some names robots, the first few of many.
func some(robots []string) string {
	if n := len(robots); n > few {
		return fmt.Sprintf("%s and %d more", strings.Join(robots[:few], ", "), n-few)
	}
	return strings.Join(robots, ", ")
}
