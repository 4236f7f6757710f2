package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Store keeps what is taken in.
type Store interface {
	// Update is for what a robot says once, Note for what it says again.
	Update(ctx context.Context, name string, f func(tx *store.Tx) error) error
	Note(ctx context.Context, name string, f func(tx *store.Tx) error) error
}

// Metrics hears what became of messages. Kinds and results are few; the result
// is taken, passed_over, or the code of a refusal.
type Metrics interface {
	Messages(kind, result string, n int)
}

// Config of the ingest.
type Config struct {
	// Adopt registers robots that nobody registered, in a laboratory.
	Adopt bool
	// Now is the server's clock.
	Now func() time.Time
	// Metrics may be nil.
	Metrics Metrics
}

// Ingest takes messages in. It is safe for concurrent use.
type Ingest struct {
	cfg   Config
	store Store
	log   *slog.Logger

	mu         sync.Mutex
	diagnosed  map[string]glance
	complained map[string]time.Time // when a robot's messages were last said to be refused
}

// glance is when a robot's diagnostics were last stored, and how bad they were.
type glance struct {
	at    time.Time
	worst int
}

// Bounds of what is remembered between messages.
const (
	// diagnoseEvery is how often a robot's diagnostics are stored as long as
	// they get neither better nor worse: they come up to ten times a second.
	diagnoseEvery = 30 * time.Second
	// complainEvery is how often the log tells of one robot's bad messages.
	complainEvery = time.Hour
	maxRemembered = 200_000 // robots
	// window is how many of a robot's latest events are looked at, to tell how
	// its updates went; an update has about fifteen.
	window = 200
)

// New makes an ingest into s.
func New(cfg Config, s Store, log *slog.Logger) *Ingest {
	return &Ingest{cfg: cfg, store: s, log: log, diagnosed: map[string]glance{}, complained: map[string]time.Time{}}
}

// said is a message with what it says.
type said struct {
	Message
	word word
}

// Take takes messages in, of one robot in the order in which they stand. They
// are stored when it returns nil: all of them, but those that were refused, which
// the log and the metrics tell of. With an error none is.
func (i *Ingest) Take(ctx context.Context, messages []Message) error {
	var all []said
	for _, m := range messages {
		w, err := read(m)
		if err != nil {
			i.refused(err)
			continue
		}
		all = append(all, said{m, w})
	}
	refusals, err := i.write(ctx, i.worthwhile(all))
	for _, r := range refusals {
		i.refused(r)
	}
	return err
}

// report is the body of what a robot without MQTT says.
type report struct {
	Documents []struct {
		Topic   string          `json:"topic"` // below fleet/{robot_id}/
		Payload json.RawMessage `json:"payload"`
	} `json:"documents"`
}

// Report takes in what a robot says over HTTP: what it would publish over MQTT.
// All of it is stored or, with an error, nothing; a *RefusedError says that
// saying it again does not help.
func (i *Ingest) Report(ctx context.Context, robot string, body []byte) error {
	now := i.cfg.Now()
	whole := Message{Robot: robot, Kind: "report"}
	var r report
	if err := json.Unmarshal(body, &r); err != nil {
		return i.told(whole.refuse(codeMalformed, "%.200s", err))
	}
	if n := len(r.Documents); n < 1 || n > maxDocuments {
		return i.told(whole.refuse(codeMalformed, "want 1 to %d documents, not %d", maxDocuments, n))
	}
	var all []said
	for _, d := range r.Documents {
		k, ok := under(d.Topic)
		if !ok {
			return i.told(whole.refuse(codeMalformed, "%.64q is no topic that is taken", d.Topic))
		}
		m := Message{Robot: robot, Kind: k, Payload: d.Payload, Received: now}
		w, err := read(m)
		if err != nil {
			return i.told(err)
		}
		all = append(all, said{m, w})
	}
	refusals, err := i.write(ctx, i.worthwhile(all))
	if err == nil && len(refusals) > 0 {
		err = i.told(refusals[0])
	}
	return err
}

// told notes a refusal that the robot is told of.
func (i *Ingest) told(err error) error {
	i.refused(err)
	return err
}

// refused tells people that a message was refused, of each robot now and then.
func (i *Ingest) refused(err error) {
	var r *RefusedError
	if !errors.As(err, &r) {
		return
	}
	i.count(r.Kind, r.Code, 1)
	i.mu.Lock()
	now := i.cfg.Now()
	quiet := now.Sub(i.complained[r.Robot]) < complainEvery
	if !quiet {
		if len(i.complained) >= maxRemembered {
			clear(i.complained)
		}
		i.complained[r.Robot] = now
	}
	i.mu.Unlock()
	if !quiet {
		i.log.Warn("a robot's message is refused", "robot", r.Robot, "kind", string(r.Kind), "code", r.Code, "why", r.Why)
	}
}

func (i *Ingest) count(k Kind, result string, n int) {
	if i.cfg.Metrics != nil && n > 0 {
		i.cfg.Metrics.Messages(string(k), result, n)
	}
}

// worthwhile leaves out diagnostics that say nothing new so soon.
func (i *Ingest) worthwhile(all []said) []said {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(all, func(s said) bool {
		d, ok := s.word.(diagnosticsWord)
		if !ok {
			return false
		}
		g, known := i.diagnosed[s.Robot]
		if known && g.worst == d.worst() && s.Received.Sub(g.at) < diagnoseEvery && !s.Received.Before(g.at) {
			i.count(Diagnostics, "passed_over", 1)
			return true
		}
		if len(i.diagnosed) >= maxRemembered {
			clear(i.diagnosed)
		}
		i.diagnosed[s.Robot] = glance{s.Received, d.worst()}
		return false
	})
}

// write stores messages in one transaction, a durable one where events are
// among them: robots forget an event once it was taken.
func (i *Ingest) write(ctx context.Context, all []said) ([]error, error) {
	if len(all) == 0 {
		return nil, nil
	}
	in := i.store.Note
	if slices.ContainsFunc(all, func(s said) bool { return s.Kind == Event }) {
		in = i.store.Update
	}
	var refusals []error
	err := in(ctx, "ingest", func(tx *store.Tx) error {
		refusals = nil
		for _, of := range byRobot(all) {
			err := i.one(ctx, tx, of)
			var r *RefusedError
			if errors.As(err, &r) {
				refusals = append(refusals, err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		i.forget(all)
		return nil, fmt.Errorf("take %d messages of robots: %w", len(all), err)
	}
	for _, s := range all {
		i.count(s.Kind, "taken", 1)
	}
	return refusals, nil
}

// forget that diagnostics were stored which were not.
func (i *Ingest) forget(all []said) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range all {
		if s.Kind == Diagnostics {
			delete(i.diagnosed, s.Robot)
		}
	}
}

// byRobot parts messages by robot, by rising id: that is the order in which all
// servers take their rows, so that none waits for another in a circle.
func byRobot(all []said) [][]said {
	ordered := slices.Clone(all)
	slices.SortStableFunc(ordered, func(a, b said) int {
		switch {
		case a.Robot < b.Robot:
			return -1
		case a.Robot > b.Robot:
			return 1
		}
		return 0
	})
	var out [][]said
	for n := 0; n < len(ordered); {
		m := n
		for m < len(ordered) && ordered[m].Robot == ordered[n].Robot {
			m++
		}
		out = append(out, ordered[n:m])
		n = m
	}
	return out
}

// sku is the SKU that a message names, "" for none.
func (s said) sku() string {
	switch w := s.word.(type) {
	case statusWord:
		return w.SKU
	case healthWord:
		return w.SKU
	}
	return ""
}

// find finds the messages' robot, and registers it where that is wanted.
func (i *Ingest) find(ctx context.Context, tx *store.Tx, of []said) (store.Robot, error) {
	robot, err := tx.Robot(ctx, of[0].Robot)
	if !errors.Is(err, store.ErrNotFound) {
		return robot, err
	}
	for _, s := range of {
		if i.cfg.Adopt && release.Known(s.sku()) {
			if err := tx.EnsureRobot(ctx, s.Robot, s.sku()); err != nil {
				return robot, err
			}
			return tx.Robot(ctx, s.Robot)
		}
	}
	return robot, of[0].refuse(codeUnknown, "no robot of that id is registered; ota-fleet robot add registers it")
}
