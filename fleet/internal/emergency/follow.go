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
	}
	var robots []string
	if err == nil {
		robots, err = s.due(ctx, incident)
	}
	for part := range slices.Chunk(robots, s.batch) {
		if err != nil {
			break
		}
		err = s.store.Update(ctx, "follow", func(tx *store.Tx) error {
			if err := fence(ctx, tx); err != nil {
				return err
			}
			return s.advance(ctx, tx, incident, part)
		})
	}
	if err != nil {
		return fmt.Errorf("incident %s: %w", incident, err)
	}
	return nil
}

// due lists the robots about which there is something to do.
func (s *Service) due(ctx context.Context, incident string) ([]string, error) {
	var ids []string
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
		err = eachOf(ctx, from, r.Targets, func(robot store.Robot, _ compat.Version) {
			if !stepOf(i, r, robot, told[robot.ID], now).empty() {
				ids = append(ids, robot.ID)
			}
			delete(told, robot.ID)
		})
		for _, gone := range slices.Sorted(maps.Keys(told)) { // robots that were removed
			if len(open(told[gone])) > 0 {
				ids = append(ids, gone)
			}
		}
		return err
	})
	return ids, err
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

// chronicle is what a transaction did, by robot.
type chronicle struct{ putBack, giveUp, complied, gone []string }

func (c *chronicle) add(robot string, did step) {
	for _, command := range did.enqueue {
		if command.Verb == store.VerbRollback {
			c.putBack = append(c.putBack, robot)
		} else {
			c.giveUp = append(c.giveUp, robot)
		}
	}
	if len(did.comply) > 0 {
		c.complied = append(c.complied, robot)
	}
}

func (c *chronicle) write(ctx context.Context, tx *store.Tx, incident string) error {
	for _, line := range []struct {
		what   string
		robots []string
	}{
		{"told to put it back", c.putBack}, {"told to give it up before it is installed", c.giveUp},
		{"complied", c.complied}, {"not in the fleet any more", c.gone},
	} {
		if len(line.robots) == 0 {
			continue
		}
		if err := note(ctx, tx, incident, "", line.what+": "+some(line.robots)); err != nil {
			return err
		}
	}
	if len(c.complied)+len(c.gone) == 0 {
		return nil
	}
	left, err := tx.Commands(ctx, store.CommandQuery{Incident: incident, Open: true})
	if err != nil || len(left) > 0 {
		return err
	}
	return note(ctx, tx, incident, "", "every robot that was told has complied")
}

// some names robots, the first few of many.
func some(robots []string) string {
	const most = 20
	if n := len(robots); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(robots[:most], ", "), n-most)
	}
	return strings.Join(robots, ", ")
}
