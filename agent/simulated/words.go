package simulated

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/watch"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// agentVersion is what the robots say that they run.
const agentVersion = "simulated"

// mouth is what is to be said, and was said last.
type mouth struct {
	epoch  string
	seq    uint64
	events uint64
	wait   []Message // out of reach, or not asked for yet
	online bool
	came   bool // within reach again: to be said
	said   saying
}

// saying is what of a status makes another one.
type saying struct {
	state update.State
	job   string
	runs  compat.Version
	held  int
}

// most is how many messages wait; the oldest are given up.
const most = 10_000

func (m *mouth) add(topic string, documents ...any) {
	for _, d := range documents {
		b, err := json.Marshal(d)
		if err != nil {
			continue // the agent's own types, all of which have a form
		}
		m.wait = append(m.wait, Message{Topic: topic, Payload: b})
	}
	m.wait = m.wait[max(0, len(m.wait)-most):]
}

func (m *mouth) event(id string, e mqttlink.Event) {
	m.events++
	e.RobotID, e.Seq, e.ID = id, m.events, fmt.Sprintf("%s-%d", m.epoch, m.events)
	m.add("ota/event", e)
}

func (m *mouth) stamp() mqttlink.Stamp {
	m.seq++
	return mqttlink.Stamp{Epoch: m.epoch, Seq: m.seq}
}

func (m *mouth) reach(online bool, now time.Time) {
	if online && !m.online {
		m.came = true
	}
	m.online = online
}

// speak gives what can be said now.
func (m *mouth) speak(p present) []Message {
	if !m.online {
		return nil
	}
	if m.came {
		m.came = false
		m.add("ota/online", mqttlink.Online{Online: true, Agent: agentVersion, At: p.now, RobotID: p.id, Stamp: m.stamp()})
		m.said = saying{}
	}
	if s := p.saying(); s != m.said {
		m.said = s
		m.add("ota/status", mqttlink.Status{Status: p.status, About: p.about, RobotID: p.id, SKU: p.sku, Agent: agentVersion, At: p.now, Stamp: m.stamp()})
	}
	out := m.wait
	m.wait = nil
	return out
}

// present is the robot as it is told.
type present struct {
	id, sku string
	now     time.Time
	status  update.Status
	about   mqttlink.About
}

func (p present) saying() saying {
	return saying{state: p.status.State, job: p.status.JobID, runs: p.status.Running.Version, held: len(p.status.Reasons)}
}

func (r *Robot) present() present {
	w := r.facts.Firmware
	return present{id: r.cfg.ID, sku: r.cfg.SKU, now: r.now, status: r.status(),
		about: mqttlink.About{Companion: r.cfg.Companion, Protocol: w.Protocol, OTAState: w.OTAState}}
}

func (r *Robot) status() update.Status {
	j, w := r.memory.Job, r.facts.Firmware
	s := update.Status{
		State: j.State, Since: j.Since, JobID: j.ID, Kind: j.Kind, Origin: j.Request.Origin, Command: j.Request.Command,
		Running: update.Installed{Slot: w.Slot, Version: w.Version, AppSHA256: w.AppSHA256},
		Target:  j.Image.Version, Slot: j.To, Reasons: j.Reasons, Failure: j.Failure, NextCheck: r.nextCheck,
		Held: r.memory.Held || r.memory.Loader, Message: string(j.State),
	}
	if s.Target.IsZero() {
		s.Target = j.Offer.Version
	}
	return s
}

// count counts the robot's health, an epoch for each firmware.
type count struct {
	census watch.Census
	epoch  uint64
	seq    uint64
	ended  []watch.Census
}

func (c *count) hear(l robot.Level) { c.census = c.census.Hear(l) }

func (c *count) look(f robot.Facts, undisturbed bool, now time.Time) {
	if f.Firmware.Version != c.census.Firmware {
		if c.census.Seconds > 0 {
			c.ended = append(c.ended, c.census)
		}
		c.census = watch.NewCensus(f)
	}
	if !undisturbed {
		c.census = c.census.Pause()
		return
	}
	c.census = c.census.Look(f, now)
}

// report is what there is to tell.
func (c *count) report(cfg Config, now time.Time) []any {
	var out []any
	tell := func(s watch.Census) {
		c.seq++
		out = append(out, watch.Health{Schema: watch.HealthSchema, RobotID: cfg.ID, SKU: cfg.SKU, Firmware: s.Firmware,
			Epoch: fmt.Sprintf("%x-%d", mix(cfg.Seed), c.epoch), Seq: c.seq, At: now, Seconds: s.Seconds, Counters: s.Sum})
	}
	for _, e := range c.ended {
		tell(e)
		c.epoch, c.seq = c.epoch+1, 0
	}
	c.ended = nil
	tell(c.census)
	return out
}
