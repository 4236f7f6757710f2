package hawkbit

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/disk"
)

// Config says which server, and who this robot is.
type Config struct {
	Server     *url.URL // base address
	Tenant     string   // of the server, DEFAULT where there is one
	Controller string   // this robot's id at the server
	// Confirm lets the agent give the consent that the server may ask for
	// before a deployment. Else its operator does it there.
	Confirm bool
	// Told as attributes.
	RobotID, SKU, Companion, Agent string
	// StateDir holds what is known of the server's actions.
	StateDir string
	Disk     disk.Disk // where StateDir lies
	MaxSize  int64     // largest signed file that is taken, in bytes; 0: what an image can have
}

// Commands is what the server may ask for; the engine does it.
type Commands interface {
	Trigger(ctx context.Context, r update.Request) (string, error)
	Cancel(ctx context.Context) error
	Inhibit(ctx context.Context, owner, reason string, lease time.Duration) error
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

// Robot is where the facts about the robot are posted.
type Robot interface {
	Facts() robot.Facts
}

// owner of the inhibitor, as it is shown to those who wait.
const owner = "hawkbit"

// How long the inhibitor lasts without being renewed.
const (
	lease = time.Hour
	renew = 20 * time.Minute
	// glance is the lease while it is only looked what the server offers.
	glance = 10 * time.Second
	// maxReason is shorter than what an inhibitor may say, in characters.
	maxReason = 180
)

// Link is the line to the server: the engine's source of updates, and its
// observer.
type Link struct {
	cfg    Config
	client client
	robot  Robot
	log    *slog.Logger
	engine Engine
	wake   chan struct{} // the job has taken a step

	mu      sync.Mutex // guards the rest
	ledger  *ledger
	job     job
	unsaved bool // the ledger could not be written
	holding bool // of the inhibitor
	seen    seen

	loop loop // Run's goroutine alone looks at it
}

// job is the engine's latest one.
type job struct {
	id     string
	action string // that it belongs to; "": none
	state  update.State
	forced bool
}

// seen is the deployment that was read last.
type seen struct {
	id    string
	hold  string
	offer update.Offer
	at    time.Time
	// handed: the engine is being triggered for it, and need not ask again.
	handed bool
}

// fresh is how long an offer may wait to be taken by the engine.
const fresh = time.Minute

// New opens what is known of the server's actions. memory is the engine's at
// the start: a step that was saved, but not taken note of because the agent
// died, is taken note of now.
func New(cfg Config, http HTTP, r Robot, memory update.Memory, log *slog.Logger) (*Link, error) {
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = image.HeaderSize + image.MaxImageSize
	}
	if err := cfg.Disk.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	l := &Link{
		cfg: cfg, robot: r, log: log, wake: make(chan struct{}, 1),
		client: client{newSite(cfg.Server, cfg.Tenant, cfg.Controller), http},
	}
	var err error
	if l.ledger, err = openLedger(cfg.Disk, filepath.Join(cfg.StateDir, "hawkbit.json"), l.client.at()); err != nil {
		log.Error("the hawkBit server may be told again what it knows", "err", err)
	}
	l.follow(memory.Job)
	l.keep()
	return l, nil
}

// Attach gives the link the engine, before either runs. The engine's first
// step, of which it hears, holds back what the server holds back.
func (l *Link) Attach(e Engine) { l.engine = e }

// Stepped is told of every step of the engine. It writes to disk, and waits
// for nothing else.
func (l *Link) Stepped(_, after update.Memory, _ string) {
	l.mu.Lock()
	l.follow(after.Job)
	l.keep()
	l.inhibit(context.Background()) // nobody waits for it
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it has been told and not looked yet
	}
}

// follow takes note of where a job stands. The same step may come twice.
func (l *Link) follow(j update.Job) {
	l.job = job{id: j.ID, action: actionOf(j), state: j.State, forced: j.Offer.Forced}
	if j.ID == "" || j.ID == l.ledger.Dropped {
		return
	}
	if j.State == update.RolledBack && j.Image.AppSHA256 != "" {
		l.ledger.change(func(a *action) { // it may have been put back by another job before the server heard of it
			if a.App == j.Image.AppSHA256 && a.End != nil {
				*a = a.rolledBack(j)
			}
		})
	}
	if id := l.job.action; id != "" {
		a, _ := l.ledger.find(id)
		if l.seen.id == id && a.Job != j.ID {
			a.Hold = l.seen.hold
		}
		a, f := a.step(j, l.stays())
		if f == forgotten {
			l.ledger.forget(id)
			l.ledger.Dropped = j.ID
			return
		}
		l.ledger.put(a)
	}
	l.outcome(j)
}

// outcome notes how the latest job ended.
func (l *Link) outcome(j update.Job) {
	o := last{Outcome: j.State, Version: cmp.Or(j.Image.Version, j.Offer.Version, j.Request.Version).String(), Action: actionOf(j), At: j.Since}
	switch j.State {
	case update.Observing:
		o.Outcome = update.Confirmed
	case update.Failed, update.RolledBack:
		if j.Failure != nil {
			o.Reason = j.Failure.Code + ": " + j.Failure.Text
		}
	default:
		return
	}
	l.ledger.Last = o
}

// stays says that the running firmware is not on trial.
func (l *Link) stays() bool {
	s := l.robot.Facts().Firmware.OTAState
	return s != "new" && s != "pending_verify"
}

// keep makes the ledger durable.
func (l *Link) keep() {
	err := l.ledger.save()
	if l.unsaved = err != nil; l.unsaved {
		l.log.Error("what is known of the hawkBit server's actions is kept in memory alone, and lost when the agent ends", "err", err)
	}
}

// inhibit holds the engine back for as long as the server wants its image
// downloaded, and not installed yet.
func (l *Link) inhibit(ctx context.Context) {
	a, _ := l.ledger.find(l.job.action)
	var err error
	switch {
	case a.Hold != "" && a.End == nil && early(l.job.state):
		l.holding = true
		err = l.engine.Inhibit(ctx, owner, line(a.Hold, maxReason), lease)
	case l.holding:
		l.holding = false
		err = l.engine.Inhibit(ctx, owner, "", 0)
	}
	if err != nil {
		l.log.Error("the update could not be held back", "action", a.ID, "err", err)
	}
}

// Check asks the server for a deployment; false: there is none to begin now.
// What the loop has read a moment ago is not asked for again.
func (l *Link) Check(ctx context.Context, running compat.Version) (update.Offer, bool, error) {
	if o, ok := l.handed(); ok {
		return o, true, nil
	}
	doc, err := l.client.get(ctx, l.client.at(), "", maxRoot)
	if err != nil {
		return update.Offer{}, false, err
	}
	r, err := l.client.parseRoot(doc.body)
	if err != nil || r.deployment.id == "" {
		return update.Offer{}, false, err
	}
	if stands, _ := l.stands(r.deployment.id); stands == over {
		return update.Offer{}, false, nil
	}
	d, found, err := l.deployment(ctx, r.deployment)
	if err != nil || !found || d.Deployment.Download == skip {
		return update.Offer{}, false, err
	}
	o, err := l.judge(running).offer(d)
	if err != nil {
		return update.Offer{}, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = seen{id: d.ID, hold: d.held(), offer: o, at: time.Now()}
	if h := d.held(); h != "" && !l.holding { // a plan is to show it; a job will hold it for longer
		err = l.engine.Inhibit(ctx, owner, line(h, maxReason), glance)
	}
	return o, true, err
}

// handed is the offer for which the loop triggers the engine.
func (l *Link) handed() (update.Offer, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok := l.seen.handed && time.Since(l.seen.at) < fresh
	l.seen.handed = false
	return l.seen.offer, ok
}

func (l *Link) judge(running compat.Version) judge {
	return judge{base: l.client.base, allow: l.client.http.Allow, maxSize: l.cfg.MaxSize, running: running}
}

// deployment reads one; false: the server has it no more.
func (l *Link) deployment(ctx context.Context, t target) (deployment, bool, error) {
	doc, err := l.client.get(ctx, t.url, "", maxDeployment)
	if s := status(err); s == 404 || s == 410 {
		return deployment{}, false, nil
	}
	if err != nil {
		return deployment{}, false, err
	}
	d, err := parseDeployment(doc.body, t.id)
	return d, err == nil, err
}

// standing is where an action stands here.
type standing int

const (
	open   standing = iota // nobody works at it
	atWork                 // a job does
	over                   // it has ended
)

func (l *Link) stands(id string) (standing, action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ := l.ledger.find(id)
	switch {
	case l.job.action == id && l.job.state.Busy():
		return atWork, a
	case a.End != nil && !a.End.Gone && !l.undone(a):
		return over, a
	}
	return open, a
}

// undone says that what was installed with success does not run any more, so
// that it would be wrong to say so again.
func (l *Link) undone(a action) bool {
	w := l.robot.Facts().Firmware
	return a.End.Success && a.App != "" && w.AppSHA256 != "" && w.AppSHA256 != a.App
}
