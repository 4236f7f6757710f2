package mqttlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Config says which broker, and who this robot is.
type Config struct {
	// URL of the broker: mqtts://host:port, or mqtt://host:port for a host
	// that is this computer.
	URL string
	// RobotID is part of the topics and of the client's id.
	RobotID string
	SKU     string
	// StateDir holds the outbox and the memory of commands, in a folder mqtt.
	StateDir string
	// CAFile (PEM) is who signed the broker's certificate; "": the system's.
	CAFile string
	// CertFile and KeyFile (PEM) are the robot's certificate; "": none.
	CertFile, KeyFile string
	// Username; "": RobotID where there is a password, else none.
	Username string
	// PasswordFile holds the password, mode 0600; "": none.
	PasswordFile string
	// KeepAlive is how long the line may be silent, in whole seconds.
	KeepAlive time.Duration
	// Version of this program, told on ota/online.
	Version string
	// Dial gets a connection to the broker, past its TLS; nil: as URL says.
	Dial func(context.Context) (net.Conn, error)
	// Keys and About are told on ota/status; nil: they are not.
	Keys  func() Keys
	About func() About
	// Disk is where StateDir lies.
	Disk disk.Disk
}

// Commands is what the fleet may ask for; the engine does it.
type Commands interface {
	Trigger(ctx context.Context, r update.Request) (string, error)
	Rollback(ctx context.Context, reason string, origin update.Origin) (string, error)
	Cancel(ctx context.Context) error
}

// State is what is told of the update.
type State interface {
	Status() update.Status
	News() (<-chan struct{}, func())
}

// Engine is both.
type Engine interface {
	Commands
	State
}

// Link is the line to the fleet.
type Link struct {
	cfg    Config
	log    *slog.Logger
	dial   dialing
	peer   string        // for people: whom it talks to
	pace   time.Duration // the least between two statuses that differ in progress alone
	seen   *seen
	outbox *outbox
	stamps *stamps
	census Census // nil: none

	mu      sync.Mutex
	refused map[string]bool // retained and repeated messages that were refused already
	line    Health          // as it was last
}

// New opens what the link remembers. memory is the engine's at the start: a
// transition that was saved, but not told because the agent died, is told now.
func New(cfg Config, memory update.Memory, log *slog.Logger) (*Link, error) {
	d, err := newDialer(cfg, log)
	if err != nil {
		return nil, err
	}
	return newLink(cfg, memory, log, d.session)
}

// dialing makes a session, in which the will is said when it is lost.
type dialing func(ctx context.Context, arrived func(delivery), will Online) (session, error)

func newLink(cfg Config, memory update.Memory, log *slog.Logger, dial dialing) (*Link, error) {
	dir := filepath.Join(cfg.StateDir, "mqtt")
	if err := cfg.Disk.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the link to the fleet: %w", err)
	}
	_ = cfg.Disk.Sweep(dir) // what is left there takes room, and does no other harm
	l := &Link{cfg: cfg, log: log, dial: dial, peer: "the fleet's broker", pace: pace, refused: make(map[string]bool)}
	var err error
	if l.seen, err = openSeen(cfg.Disk, filepath.Join(dir, "commands.json")); err != nil {
		log.Error("commands of the past may be followed again", "err", err)
	}
	if l.outbox, err = openOutbox(cfg.Disk, filepath.Join(dir, "outbox.jsonl")); err != nil {
		log.Error("events may be lost", "err", err)
	}
	l.stamps = newStamps(l.outbox.life())
	l.catchUp(memory)
	return l, nil
}

// WithCensus has the link tell what c counts, on ota/health. It is called before
// Run.
func (l *Link) WithCensus(c Census) *Link {
	l.census = c
	return l
}

// catchUp tells the transition that a crash kept from being told.
func (l *Link) catchUp(m update.Memory) {
	last := l.outbox.latest()
	if last.ID == m.Job.ID && last.State == m.Job.State {
		return
	}
	l.transition(last, m.Job, "Restarted")
}

// Stepped is told of every step of the engine. It writes to disk, and waits
// for nothing else.
func (l *Link) Stepped(before, after update.Memory, event string) {
	l.transition(before.Job, after.Job, event)
}

func (l *Link) transition(before, after update.Job, cause string) {
	if e, ok := transition(before, after, cause, time.Now()); ok {
		l.tell(e)
	}
}

func (l *Link) tell(e Event) {
	e.RobotID = l.cfg.RobotID
	if err := l.outbox.add(e); err != nil {
		l.log.Error("an event is kept in memory alone, and lost when the agent ends before it is sent", "err", err)
	}
}

// askTime bounds how long the engine may take to answer.
const askTime = 30 * time.Second

// follow acts on one message; false: the agent stops, and the message is to
// come again.
func (l *Link) follow(ctx context.Context, e Engine, m message) bool {
	if len(m.payload) == 0 {
		return true // a retained message is cleared
	}
	now := time.Now()
	a, bad := judge(m, situation{now: now, sku: l.cfg.SKU, status: e.Status(), known: l.seen.find})
	if bad == nil {
		var job string
		if job, bad = act(ctx, e, a); bad == nil {
			l.log.Info("command followed", "command", m.verb, "id", a.command.id, "job", job)
			l.tell(followed(m, a.command, job, now))
			if err := l.seen.add(known{Key: a.key, Job: job, At: now}); err != nil {
				l.log.Error("a command will be forgotten when the agent ends, and could then be followed again", "err", err)
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
	if l.told(m, bad) {
		return true
	}
	l.log.Warn("command refused", "command", m.verb, "id", a.command.id, "code", bad.code, "why", bad.text)
	l.tell(verdict(m, a.command, bad, now))
	return true
}

// tooMany is the engine's code for a storm of triggers, whoever began it.
const tooMany = "too_many_triggers"

// act lets the engine do it.
func act(ctx context.Context, e Commands, a action) (string, *refusal) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var job string
	var err error
	switch a.command.verb {
	case verbUpdate:
		job, err = e.Trigger(ctx, a.request)
	case verbRollback:
		job, err = e.Rollback(ctx, a.command.reason, update.FromMQTT)
	case verbCancel:
		err = e.Cancel(ctx)
	}
	if err == nil {
		return job, nil
	}
	r := refuse(codeAgent, "%v", err)
	var busy *update.BusyError
	var coded interface{ Code() string }
	switch {
	case errors.As(err, &busy):
		r.code, r.job = codeBusy, busy.JobID
	case errors.As(err, &coded) && coded.Code() == tooMany:
		r.code = codeBusy // as nothing is wrong with the command: the fleet says it again
	case errors.Is(err, update.ErrTooLate):
		r.code = codeTooLate
	case errors.Is(err, update.ErrNothingToCancel), errors.Is(err, update.ErrNothingToRollBack):
		r.code = codeNothing
	case errors.Is(err, update.ErrRequest):
		r.code = codeRequest
	}
	return "", r
}

// maxRefused refusals of repeated messages are remembered.
const maxRefused = 256

// told says whether there is nothing new to tell: a retained message comes with
// every connection, and one that was not acknowledged in time comes again
// without anybody having sent it twice.
func (l *Link) told(m message, bad *refusal) bool {
	key := string(m.verb) + " " + bad.code + " " + m.digest()
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.again && bad.code == codeDuplicate || (m.retained || m.again) && l.refused[key] {
		return true
	}
	if len(l.refused) >= maxRefused {
		clear(l.refused)
	}
	l.refused[key] = true
	return false
}
