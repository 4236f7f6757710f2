package cuttest

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	broker "github.com/mochi-mqtt/server/v2"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/internal/disk/disktest"
	"github.com/robot-platform/robot-ota/sim/espsim"
)

var quiet = slog.New(slog.DiscardHandler)

var (
	errDead     = errors.New("the agent is dead")
	errNoDevice = errors.New("no such device")
	errFails    = errors.New("input/output error")
)

// world is a robot, its fleet, and the cuts that are still to come.
type world struct {
	plant  *plant
	flow   flow
	fresh  release
	disk   *disktest.Model
	chip   *espsim.Chip
	oracle *oracle
	broker *broker.Server
	wg     sync.WaitGroup
	over   chan struct{} // closed when the run is over
	fates  chan cut      // from which the world has to recover

	mu     sync.Mutex // guards what follows; the chip may be held meanwhile
	counts map[string]uint64
	cuts   []cut
	struck cut  // the latest
	deadly cut  // that has yet to end the agent; where there are two, the one that takes the power
	worn   bool // the flash failed the boot loader or the firmware, which tell nobody; a trial may be made once more for it
	fell   *cut // that took the robot's power since its computer was started
	hits   int
	broke  bool
	full   bool // the disk
	owner  bool // of the serial line runs
	away   int  // fates that have not been mended
	board  *robot.Board
	agent  *life
	lives  int

	judged  int               // ends of jobs
	outcome update.State      // of the first
	since   map[string]uint64 // events between the last cut and that
}

func newWorld(p *plant, f flow, cuts []cut) (*world, error) {
	w := &world{
		plant: p, flow: f, fresh: p.releases[f.behaviour], over: make(chan struct{}), fates: make(chan cut, 8),
		counts: map[string]uint64{}, cuts: cuts, owner: true, disk: disktest.New(), board: robot.NewBoard(), oracle: newOracle(p, f),
	}
	var err error
	if f.mqtt {
		if w.broker, err = newBroker(); err != nil {
			return nil, err
		}
	}
	w.chip, err = espsim.New(espsim.Config{Memory: p.flash(f), TableOffset: tableAt, Rollback: !f.plain, Unpaced: true, Tap: w})
	if err != nil {
		return nil, err
	}
	w.arm()
	w.wg.Go(w.speak)
	w.wg.Go(w.mend)
	return w, nil
}

// close ends the world.
func (w *world) close() error {
	close(w.over)
	var err error
	if w.broker != nil {
		err = w.broker.Close()
	}
	w.wg.Wait()
	w.chip.Close()
	return err
}

// arm plans the next cut. Events are counted from here.
func (w *world) arm() {
	var f espsim.Faults
	if len(w.cuts) > 0 && w.cuts[0].onChip() {
		f = w.cuts[0].faults()
	}
	w.chip.SetFaults(f)
	clear(w.counts)
}

// strike is the moment of a cut; the lock is held.
func (w *world) strike() cut {
	w.struck = w.cuts[0]
	w.cuts = w.cuts[1:]
	w.hits++
	w.arm()
	if w.struck.lasting() && (w.struck.who != robotPower || w.deadly.who != robotPower) { // power that is about to go goes once
		w.away++
	}
	w.full = w.full || w.struck.how == "full"
	if w.struck.who == robotPower || w.struck.who == agentOnly && w.deadly.who != robotPower {
		w.deadly = w.struck
	}
	if w.struck.who == robotPower {
		fell := w.struck
		w.fell = &fell
	}
	return w.struck
}

// lasting says whether somebody has to put it right.
func (c cut) lasting() bool {
	return c.who == esp || c.who == robotPower || c.who == "cable" || c.how == "full"
}

// Struck is the simulator that performs a cut.
func (w *world) Struck() {
	loader := w.chip.App().Mode == espsim.ModeDownload
	w.mu.Lock()
	if len(w.cuts) == 0 {
		w.mu.Unlock()
		return
	}
	w.worn = w.worn || w.cuts[0].who == "flash" && !loader
	c, agent := w.strike(), w.agent
	if w.deadly == c { // it is done here
		w.deadly = cut{}
	}
	w.mu.Unlock()
	if agent != nil && (c.who == robotPower || c.who == agentOnly) {
		agent.die()
	}
	if c.who == robotPower {
		w.disk.Cut()
	}
	if c.lasting() {
		w.fates <- c
	}
}

// Changed is the simulator that has written flash.
func (w *world) Changed(flash []byte, addr, n uint32) { w.oracle.changed(flash, addr, n) }

// Booted is the simulator that boots.
func (w *world) Booted(slot string, partition []byte) { w.oracle.booted(slot, partition) }

// event counts something that happens outside of the chip, and says how it is
// cut, if it is. Whoever dies before it is dead on return.
func (w *world) event(kind string) (how string) {
	w.mu.Lock()
	w.counts[kind]++
	if len(w.cuts) == 0 || w.cuts[0].kind != kind || w.cuts[0].n != w.counts[kind] {
		w.mu.Unlock()
		return ""
	}
	c := w.strike()
	w.mu.Unlock()
	if strings.HasPrefix(c.how, before) {
		w.perish(w.killer())
	}
	if c.how == "full" {
		w.fates <- c
	}
	return c.how
}

// latest is the cut that struck last.
func (w *world) latest() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.struck
}

// killer is the cut by which the agent is to end now; the zero cut: another has
// ended it already.
func (w *world) killer() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.deadly
	w.deadly = cut{}
	return c
}

// dark says whether the computer has lost its power, and by which cut. It has it
// back afterwards.
func (w *world) dark() (cut, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fell == nil {
		return cut{}, false
	}
	c := *w.fell
	w.fell = nil
	return c, true
}

// perish ends the agent, and takes the power where it is the robot's.
func (w *world) perish(c cut) {
	if c == (cut{}) {
		return
	}
	w.mu.Lock()
	agent := w.agent
	w.mu.Unlock()
	if agent != nil {
		agent.die()
	}
	if c.who == robotPower {
		w.disk.Cut()
		w.chip.PowerCut()
		w.fates <- c
	}
}

// How long what was cut stays away.
const (
	powerAway = 2 * time.Second
	hostAway  = 8 * time.Second // the companion boots slower than the chip
	agentAway = 5 * time.Second // RestartSec of its unit
	cableAway = 4 * time.Second
	cableLong = 45 * time.Second // longer than the agent tries to reach the chip
	fullTime  = 20 * time.Second // until somebody makes room on the disk
)

// mend puts right what was cut.
func (w *world) mend() {
	for {
		select {
		case <-w.over:
			return
		case c := <-w.fates:
			away := powerAway
			if c.how == "full" {
				away = fullTime
			}
			if c.who == "cable" {
				away = cableAway
				if c.n%2 == 0 {
					away = cableLong
				}
			}
			if !w.sleep(away) {
				return
			}
			switch {
			case c.who == "cable":
				w.chip.Plug()
			case c.how != "full":
				w.chip.PowerOn()
			}
			w.mu.Lock()
			w.away--
			w.full = w.full && c.how != "full"
			w.mu.Unlock()
		}
	}
}

// sleep is false when the run is over.
func (w *world) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.over:
		return false
	}
}

// speak is the robot that says how it is, once a second, to the agent that
// lives. The chip is heard while the owner of the serial line runs.
func (w *world) speak() {
	for w.sleep(time.Second) {
		a := w.chip.App()
		cable, _ := w.chip.Cable()
		now := time.Now()
		w.mu.Lock()
		board, heard := w.board, w.owner && cable && a.Running && a.Publishing
		w.mu.Unlock()
		board.Post(robot.Battery{Fraction: 0.9, At: now})
		stop := robot.EStop{At: now}
		if a.EStop {
			stop = robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "overcurrent", At: now}
		}
		board.Post(stop)
		if !heard {
			continue
		}
		v, _ := compat.ParseVersion(a.Version)
		board.Post(robot.Firmware{Version: v, AppSHA256: a.SHA256, Slot: a.Slot, OTAState: a.OTAState, BootCount: a.BootCount,
			ResetReason: a.ResetReason, SafetyState: a.SafetyState, Motors: a.Motors, SelfTest: a.SelfTest, At: now})
		board.Post(robot.Diagnostic{Name: "r1/firmware", At: now})
	}
}

// operator asks for the update until somebody has taken it on.
func (w *world) operator(ctx context.Context, l *life) {
	every := 2 * time.Second
	if w.flow.mqtt {
		every = 20 * time.Second
	}
	for {
		t := time.NewTimer(min(every, 5*time.Second))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if l.dead() || l.known() {
			return
		}
		if w.flow.mqtt {
			_ = w.command()
			if !w.sleep(every) {
				return
			}
			continue
		}
		_, _ = l.core.Trigger(ctx, fromOperator()) // refused until the firmware was heard
	}
}
