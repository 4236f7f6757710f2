package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// script is a server that takes a release through the stages of a rollout
// until a trigger fires, and calls it back. It keeps nothing in memory: killed
// at any moment and started again it goes on from what is stored. Its robots
// act on each command once, as real ones do, and tell what they did as events.
type script struct {
	ctx   context.Context
	s     *store.Store
	dir   string // of the broker's and the robots' files
	ttl   time.Duration
	lease store.Lease
	moved bool // whether the round did something
}

const scriptRollout = "o1"

// robots of the script, with the stage at which each has its turn.
func scriptRobots() map[string]string {
	return map[string]string{"r1": "internal", "r2": "canary", "r3": "wide", "r4": "full"}
}

// run works in rounds until there is nothing left to do.
func (c *script) run(holder string) error {
	steps := []func() error{c.prepare, c.begin, c.update, c.decide, c.send, c.answer, c.close}
	l, err := c.s.Acquire(c.ctx, "controller", holder, c.ttl)
	if err != nil {
		return err
	}
	c.lease = l
	for c.moved = true; c.moved; {
		c.moved = false
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// did is one transaction of the script.
func (c *script) did(name string, f func(tx *store.Tx) error) error {
	c.moved = true
	return c.s.Update(c.ctx, name, func(tx *store.Tx) error {
		if err := tx.Fence(c.ctx, c.lease); err != nil {
			return err
		}
		return f(tx)
	})
}

// prepare publishes the release and registers the robots.
func (c *script) prepare() error {
	if _, err := c.s.Key(c.ctx, key.ID); errors.Is(err, store.ErrNotFound) {
		if err := c.did("know the key", func(tx *store.Tx) error { _, err := tx.AddKey(c.ctx, key, "pub.der"); return err }); err != nil {
			return err
		}
	}
	if _, err := c.s.Release(c.ctx, "basic", v("0.2.1")); errors.Is(err, store.ErrNotFound) {
		r := of("basic", "0.2.1", file(1), release.Published)
		if err := c.s.Publish(c.ctx, file(1), []release.Release{r}); err != nil {
			return err
		}
	}
	if n, err := c.s.CountRobots(c.ctx); err != nil || n["basic"] > 0 {
		return err
	}
	return c.did("register", func(tx *store.Tx) error {
		for id := range scriptRobots() {
			if err := tx.AddRobot(c.ctx, store.Robot{ID: id, SKU: "basic"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// begin starts the rollout: row, places and first decision are one.
func (c *script) begin() error {
	if _, err := c.s.Rollout(c.ctx, scriptRollout); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return c.did("begin", func(tx *store.Tx) error {
		_, err := tx.StartRollout(c.ctx, store.Rollout{ID: scriptRollout, Release: "basic-0.2.1", Version: v("0.2.1"), SKUs: []string{"basic"},
			Phase: "running", Stage: "internal", Plan: json.RawMessage(`{}`), State: json.RawMessage(`{}`)})
		if err != nil {
			return err
		}
		for id, stage := range scriptRobots() {
			if err := tx.Assign(c.ctx, store.Assignment{Rollout: scriptRollout, Robot: id, SKU: "basic", Stage: stage}); err != nil {
				return err
			}
		}
		_, err = tx.AddDecision(c.ctx, store.Decision{Rollout: scriptRollout, Verdict: "start", Stage: "internal"})
		return err
	})
}

// told stores an event, and what follows from it where it is new.
func (c *script) told(e store.Event, f func(tx *store.Tx, a store.Assignment) error) error {
	return c.did("event "+e.ID, func(tx *store.Tx) error {
		if fresh, err := tx.AddEvent(c.ctx, e); err != nil || !fresh {
			return err
		}
		a, err := tx.Assignment(c.ctx, scriptRollout, e.Robot)
		if err != nil {
			return err
		}
		return f(tx, a)
	})
}

// update lets each robot that is offered the release install it. On r3 a
// trigger fires afterwards.
func (c *script) update() error {
	for _, id := range sortedRobots() {
		a, err := c.s.Assignment(c.ctx, scriptRollout, id)
		if err != nil {
			return err
		}
		offered, err := c.s.Offered(c.ctx, "basic", id)
		if err != nil {
			return err
		}
		if len(offered) == 0 || a.Outcome != "" {
			continue
		}
		err = c.told(store.Event{Robot: id, ID: id + "-confirmed", Kind: "transition", To: "confirmed"}, func(tx *store.Tx, a store.Assignment) error {
			a.Outcome = "confirmed"
			if id == "r3" {
				a.Trigger = "silent"
			}
			return tx.SaveAssignment(c.ctx, a)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decide opens the next stage when all robots of this one have confirmed, and
// halts when a trigger fired.
func (c *script) decide() error {
	r, err := c.s.Rollout(c.ctx, scriptRollout)
	if err != nil || !r.Active {
		return err
	}
	took, fired, turn := []string{}, false, 0
	stages := []string{"internal", "canary", "wide", "full"}
	err = c.s.EachAssignment(c.ctx, scriptRollout, func(a store.Assignment) error {
		if a.Outcome == "confirmed" {
			took = append(took, a.Robot)
		}
		fired = fired || a.Trigger != ""
		if slices.Index(stages, a.Stage) <= slices.Index(stages, r.Stage) {
			turn++
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case fired:
		return c.halt(r, took)
	case len(took) < turn:
		return nil
	}
	return c.did("advance", func(tx *store.Tx) error {
		next := r
		next.Stage = stages[slices.Index(stages, r.Stage)+1]
		if _, err := tx.SaveRollout(c.ctx, next); err != nil {
			return err
		}
		_, err := tx.AddDecision(c.ctx, store.Decision{Rollout: r.ID, Verdict: "advance", Stage: r.Stage, Text: "to " + next.Stage, Epoch: c.lease.Epoch})
		return err
	})
}

// halt is everything at once: decision, rollout, release, incident, commands.
func (c *script) halt(r store.Rollout, took []string) error {
	return c.did("halt", func(tx *store.Tx) error {
		next := r
		next.Phase, next.Active = "halted", false
		if _, err := tx.SaveRollout(c.ctx, next); err != nil {
			return err
		}
		d, err := tx.AddDecision(c.ctx, store.Decision{Rollout: r.ID, Verdict: "halt", Stage: r.Stage, Epoch: c.lease.Epoch})
		if err != nil {
			return err
		}
		if err := tx.SetStatus(c.ctx, "basic", r.Version, release.Withdrawn, "", "a trigger fired"); err != nil {
			return err
		}
		incident := r.ID + "-halt"
		if _, err := tx.OpenIncident(c.ctx, store.Incident{ID: incident, Kind: "halt"}); err != nil {
			return err
		}
		if _, err := tx.AddEntry(c.ctx, store.Entry{Incident: incident, Text: "halted"}); err != nil {
			return err
		}
		for _, id := range took {
			command := fmt.Sprintf("%s/%d/%s", r.ID, d.Number, id)
			if err := tx.Enqueue(c.ctx, store.Command{ID: command, Robot: id, Verb: store.VerbRollback, Payload: json.RawMessage(`{}`), Rollout: r.ID, Incident: incident}); err != nil {
				return err
			}
		}
		return nil
	})
}

// send hands commands to the broker, and then notes that it did.
func (c *script) send() error {
	commands, err := c.s.Due(c.ctx, time.Time{}, time.Minute, 10)
	if err != nil {
		return err
	}
	for _, m := range commands {
		if err := appendLine(filepath.Join(c.dir, "broker"), m.ID); err != nil {
			return err
		}
		if err := c.did("sent "+m.ID, func(tx *store.Tx) error { return tx.Sent(c.ctx, m.ID) }); err != nil {
			return err
		}
	}
	return nil
}

// answer lets robots act on what the broker has for them.
func (c *script) answer() error {
	have, err := lines(filepath.Join(c.dir, "broker"))
	if err != nil {
		return err
	}
	acted, err := lines(filepath.Join(c.dir, "robots"))
	if err != nil {
		return err
	}
	for _, command := range have {
		robot := command[strings.LastIndex(command, "/")+1:]
		if !slices.Contains(acted, command) { // a robot knows its commands by their ids
			if err := appendLine(filepath.Join(c.dir, "robots"), command); err != nil {
				return err
			}
			acted = append(acted, command)
		}
		a, err := c.s.Assignment(c.ctx, scriptRollout, robot)
		if err != nil {
			return err
		}
		if a.Outcome == "rolled_back" {
			continue
		}
		// It tells until it is heard.
		err = c.told(store.Event{Robot: robot, ID: robot + "-rolled-back", Kind: "transition", To: "rolled_back", Command: command}, func(tx *store.Tx, a store.Assignment) error {
			a.Outcome = "rolled_back"
			if err := tx.SaveAssignment(c.ctx, a); err != nil {
				return err
			}
			if _, err := tx.Acknowledge(c.ctx, robot, command, "accepted", ""); err != nil {
				return err
			}
			if _, err := tx.Comply(c.ctx, robot, command); err != nil {
				return err
			}
			_, err := tx.AddEntry(c.ctx, store.Entry{Incident: scriptRollout + "-halt", Text: robot + " has complied"})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// close ends the incident when all have complied.
func (c *script) close() error {
	open, err := c.s.Incidents(c.ctx, true)
	if err != nil || len(open) == 0 {
		return err
	}
	waiting, err := c.s.Commands(c.ctx, store.CommandQuery{Incident: open[0].ID, Open: true})
	if err != nil || len(waiting) > 0 {
		return err
	}
	return c.did("close", func(tx *store.Tx) error { return tx.CloseIncident(c.ctx, open[0].ID, "the server") })
}

func sortedRobots() []string {
	var ids []string
	for id := range scriptRobots() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// appendLine adds a line that is there for good.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

func lines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}
