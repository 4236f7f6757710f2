package daytest

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// Flags of the soak.
var (
	soaks     = flag.Uint64("soaks", 1, "how many seeds to soak an agent with")
	soakHours = flag.Int("soak-hours", 24, "for how many hours of fake time, a multiple of 6 up to 60")
)

// calmHours follow the noise, so that what is under way ends.
const calmHours = 3

// TestSoak: one life of the agent, for a day that does not end in its death,
// under all the noise there is: a server and a network that fail at every turn, a
// broker that flaps, a cable that comes off, DDS peers and clients that come and
// go, leases, and a clock on the wall that is set both ways. Good and bad
// releases come all the while. In the end the robot runs what it should, and
// nothing has grown: no goroutines, files, memory, and none of the agent's maps
// and lists.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a few seconds")
	}
	if *soakHours%cycleHours != 0 || *soakHours < 2*cycleHours || *soakHours > 60 {
		t.Fatalf("-soak-hours %d: want a multiple of %d from %d to 60", *soakHours, cycleHours, 2*cycleHours)
	}
	first, n, failed := max(*only, 1), *soaks, 0
	for seed := first; seed < first+n; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { soak(t, seed) })
		}) {
			failed++
		}
	}
	report(t, map[string]any{"part": fmt.Sprintf("one life of %d h in fake time, %s", *soakHours, clocks), "hours": *soakHours * int(n), "failures": failed,
		"seeds": fmt.Sprintf("%d-%d", first, first+n-1)})
}

// report appends a line to the file that the environment names.
func report(t *testing.T, line map[string]any) {
	t.Helper()
	name := os.Getenv("ROBOT_OTA_PROOF_REPORT")
	if name == "" {
		return
	}
	b, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(append(b, '\n'))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

func soak(t *testing.T, seed uint64) {
	d := newDayOf(t, dice(seed), soakNatures(*soakHours/cycleHours))
	d.fleet.keep, d.restless = 64, 1+*soakHours/12
	if err := d.openFleet(); err != nil {
		t.Fatal(err)
	}
	whole := time.Duration(*soakHours) * time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	bad, calm := context.WithTimeout(ctx, whole)
	defer calm()
	l, err := d.begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.set(func() { d.board, d.agent = l.robot, l })
	var wg sync.WaitGroup
	wg.Go(func() { d.speak(ctx) })
	wg.Go(func() { d.releases(ctx, *soakHours/cycleHours) })
	d.noise(bad, l, &wg)

	seen := d.measure(l, *soakHours)
	time.Sleep(time.Until(d.start.Add(whole + calmHours*time.Hour)))
	d.ends(l, v(uint8(3**soakHours/cycleHours)))
	d.recorded(l)
	if bad, cycles := len(d.blamed), *soakHours/cycleHours; bad < cycles/2 { // the next release may come before one has turned bad
		t.Errorf("of %d bad releases %d were put back", cycles, bad)
	}
	if l.dead() {
		t.Error("the agent has died")
	}
	l.bury()
	cancel()
	wg.Wait()
	if err := d.fleet.server.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range d.faults {
		t.Errorf("seed %d: after %s", seed, f)
	}
	for _, g := range seen.growth() {
		t.Errorf("seed %d: %s\n%s", seed, g, seen.table())
	}
	t.Logf("seed %d: done %v; written %v, put back %v\n%s", seed, d.done, d.writes, d.blamed, seen.table())
}

// cycleHours is how long a good release, a bad one and another good one take.
const cycleHours = 6

func soakNatures(cycles int) map[version]nature {
	all := map[version]nature{v(0): good}
	for k := range uint8(cycles) {
		all[v(3*k+1)], all[v(3*k+3)] = good, good
		all[v(3*k+2)] = []nature{crash, reboots, sick, hang, silent}[k%5]
	}
	return all
}

// releases is what the fleet's operator does, over and over again.
func (d *day) releases(ctx context.Context, cycles int) {
	for k := range cycles {
		first := uint8(3*k + 1)
		begin := d.start.Add(time.Duration(k) * cycleHours * time.Hour)
		for _, s := range []struct {
			at time.Duration
			do func()
		}{
			{20 * time.Minute, func() { d.set(func() { d.server.offers = v(first) }) }},
			{150 * time.Minute, func() { d.set(func() { d.server.offers = v(first + 1) }) }},
			{4 * time.Hour, func() { d.fleet.junk(d.server.releases[v(first+2)]) }},
			{270 * time.Minute, func() { d.fleet.order(fmt.Sprint("order-", k), d.server.releases[v(first+2)]) }},
			{300 * time.Minute, func() { d.set(func() { d.server.offers = v(first + 2) }) }},
		} {
			if !d.sleep(ctx, time.Until(begin.Add(s.at))) {
				return
			}
			s.do()
		}
	}
}

func (d *day) sleep(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// noise makes it.
func (d *day) noise(ctx context.Context, l *life, wg *sync.WaitGroup) {
	on := func(p *bool) func(bool) { return func(is bool) { d.set(func() { *p = is }) } }
	for _, s := range []struct {
		every, most time.Duration
		is          func(bool)
	}{
		{90 * time.Minute, 40 * time.Minute, on(&d.server.storm)},
		{15 * time.Minute, 4 * time.Minute, d.fleet.part},
		{7 * time.Minute, time.Second, d.fleet.part},
		{time.Hour, 5 * time.Minute, on(&d.chip.cut)},
		{2 * time.Hour, time.Hour, on(&d.chip.lossy)},
		{2 * time.Hour, 20 * time.Minute, on(&d.body.flaps)},
		{time.Hour, 10 * time.Minute, on(&d.body.moving)},
		{3 * time.Hour, 5 * time.Minute, on(&d.body.stopped)},
		{40 * time.Minute, 30 * time.Minute, d.setsClock},
	} {
		wg.Go(func() { d.spell(ctx, s.every, s.most, s.is) })
	}
	for i := range 6 {
		wg.Go(func() { d.peers(ctx, l.robot, i) })
		wg.Go(func() { d.clients(ctx, l) })
	}
}

// setsClock sets the clock on the wall wrong, and right again.
func (d *day) setsClock(wrong bool) {
	var by time.Duration
	if wrong {
		d.set(func() {
			by = time.Duration(d.rng.Int64N(int64([]time.Duration{10 * time.Second, time.Hour, 4 * 24 * time.Hour}[d.rng.IntN(3)])))
			if d.rng.IntN(2) == 0 {
				by = -by
			}
		})
	}
	d.setClock(by)
}

// peers are DDS peers that come, say something of this robot, and go, one after
// the other.
func (d *day) peers(ctx context.Context, board *robot.Board, slot int) {
	for n := 0; ; n++ {
		var wait, last time.Duration
		d.set(func() {
			wait, last = time.Duration(d.rng.Int64N(int64(10*time.Minute))), time.Duration(d.rng.Int64N(int64(10*time.Minute)))
		})
		if !d.sleep(ctx, wait) {
			return
		}
		for end := time.Now().Add(last); time.Now().Before(end); {
			name := fmt.Sprintf("r1/peer_%d_%d", slot, n%5)
			board.Post(robot.Diagnostic{Name: name, Values: map[string]string{"n": fmt.Sprint(n)}, At: time.Now()})
			board.Post(robot.Odometry{At: time.Now()})
			if !d.sleep(ctx, 5*time.Second) {
				return
			}
		}
	}
}

// clients hold the robot back for a moment, plan an update, follow what goes on
// for a while, and go.
func (d *day) clients(ctx context.Context, l *life) {
	for n := 0; ; n++ {
		var wait, last time.Duration
		d.set(func() {
			wait, last = time.Duration(d.rng.Int64N(int64(20*time.Minute))), time.Duration(d.rng.Int64N(int64(5*time.Minute)))
		})
		if !d.sleep(ctx, wait) {
			return
		}
		if err := l.core.Inhibit(ctx, fmt.Sprint("client-", n%20), "docking", 10*time.Second); err != nil && ctx.Err() == nil {
			d.set(func() { d.fault("a lease is refused: %v", err) })
		}
		news, end := l.core.News()
		t := time.NewTimer(last)
	follow:
		for {
			select {
			case <-news:
				_ = l.core.Status()
			case <-t.C:
				break follow
			case <-ctx.Done():
				break follow
			}
		}
		end()
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}
