package daytest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	mrand "math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/image/imagetest"
)

type version = compat.Version

var quiet = slog.New(slog.DiscardHandler)

// day is the whole made-up world. Its lock guards all of it.
type day struct {
	dir     string
	keys    image.Keyring
	address *url.URL
	start   time.Time
	natures map[version]nature

	mu     sync.Mutex
	rng    *mrand.Rand
	chip   chip
	body   body
	server server
	fleet  fleet
	board  *robot.Board // of the life that is
	since  time.Time    // a firmware that turns bad was confirmed
	agent  *life
	deadly bool          // the agent dies now and then, at what it does
	doomed bool          // it dies right after what it does now
	wrong  time.Duration // by which the clock on the wall is wrong

	done     map[string]int
	restless int // how many times as much may be done as in a day; 0: once
	lately   map[string][]time.Time
	writes   map[version]int
	blamed   map[version]bool
	faults   map[string]string
}

// fate is what becomes of the agent at an operation.
type fate int

const (
	lives fate = iota
	diesBefore
	diesAfter
)

// fate is rolled for an operation. Ends of jobs are few, and the more dangerous.
func (d *day) fate(name string) fate {
	if !d.deadly {
		return lives
	}
	luck := 20
	if name == "settle" {
		luck = 4
	}
	switch d.rng.IntN(luck) {
	case 0:
		return diesBefore
	case 1:
		return diesAfter
	}
	return lives
}

func v(patch uint8) version { return version{Minor: 2, Patch: patch} }

// newDay is a robot that runs 0.2.0 from ota_0, and a fleet with a good release,
// one that fails its trial, one that turns bad when it was confirmed, and two
// more that are good.
func newDay(t *testing.T, seed uint64) *day {
	t.Helper()
	rng := dice(seed)
	return newDayOf(t, rng, map[version]nature{v(0): good, v(1): good, v(2): crash + nature(rng.IntN(4)), v(3): reboots + nature(rng.IntN(3)), v(4): good, v(5): good})
}

// dice fall the same way again for the same seed.
func dice(seed uint64) *mrand.Rand {
	return mrand.New(mrand.NewPCG(seed, 1)) //nolint:gosec // nothing is to be hidden from anybody
}

// newDayOf is a robot that runs 0.2.0 from ota_0, and a fleet with releases.
func newDayOf(t *testing.T, rng *mrand.Rand, natures map[version]nature) *day {
	t.Helper()
	d := &day{
		dir: t.TempDir(), address: &url.URL{Scheme: "https", Host: "updates.example"}, start: time.Now(), rng: rng, board: robot.NewBoard(),
		natures: natures,
		done:    map[string]int{}, lately: map[string][]time.Time{}, writes: map[version]int{}, blamed: map[version]bool{}, faults: map[string]string{},
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	d.keys = image.NewKeyring(pub)
	d.server.releases = map[version]release{}
	for _, n := range slices.Collect(maps.Keys(d.natures)) {
		file, err := image.Sign(imagetest.App(imagetest.Options{Version: n.String()}), key)
		if err != nil {
			t.Fatal(err)
		}
		d.server.releases[n] = newRelease(n, file)
	}
	d.server.offers = v(0)
	d.chip = chip{day: d, boots: 3, booted: time.Now(), slots: [2]held{
		{version: v(0), sha: "aa", whole: true, state: flashmap.Valid}, {version: compat.Version{Minor: 1}, sha: "00", whole: true, state: flashmap.Valid},
	}}
	d.body.owner, d.body.charge = true, 0.9
	return d
}

// kill ends the agent, whatever it does.
func (d *day) kill() {
	d.set(func() {
		if d.agent != nil {
			d.agent.die()
		}
	})
}

// set changes the world.
func (d *day) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// spell lets something be so now and then, for a random time, until the end of
// the bad times.
func (d *day) spell(ctx context.Context, every, most time.Duration, is func(bool)) {
	for {
		var wait, last time.Duration
		d.set(func() {
			wait = every/2 + time.Duration(d.rng.Int64N(int64(every)))
			last = time.Second + time.Duration(d.rng.Int64N(int64(most)))
		})
		for _, now := range []bool{true, false} {
			t := time.NewTimer(map[bool]time.Duration{true: wait, false: last}[now])
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				is(false)
				return
			}
			is(now)
		}
	}
}

// badTimes are those in which everything goes wrong by itself.
const badTimes = 36 * time.Hour

// suffer lets it go wrong.
func (d *day) suffer(ctx context.Context, wg *sync.WaitGroup) {
	on := func(p *bool) func(bool) { return func(is bool) { d.set(func() { *p = is }) } }
	for _, s := range []struct {
		every, most time.Duration
		is          func(bool)
	}{
		{3 * time.Hour, 2 * time.Hour, on(&d.server.storm)},
		{5 * time.Hour, 90 * time.Minute, d.fleet.part},
		{2 * time.Hour, 20 * time.Minute, on(&d.chip.cut)},
		{20 * time.Minute, time.Minute, on(&d.chip.cut)},
		{2 * time.Hour, 3 * time.Hour, on(&d.chip.lossy)},
		{2 * time.Hour, time.Hour, on(&d.body.flaps)},
		{time.Hour, 30 * time.Minute, on(&d.body.moving)},
		{3 * time.Hour, 10 * time.Minute, on(&d.body.stopped)},
		{3 * time.Hour, 3 * time.Hour, on(&d.deadly)},
		{time.Hour, time.Second, func(bool) { d.kill() }},
	} {
		wg.Go(func() { d.spell(ctx, s.every, s.most, s.is) })
	}
}

// story is what the fleet's operator does, hour by hour.
func (d *day) story(ctx context.Context) {
	r := func(n uint8) release { return d.server.releases[v(n)] }
	for _, s := range []struct {
		at time.Duration
		do func()
	}{
		{time.Hour, func() { d.set(func() { d.server.offers = v(1) }) }},
		{5 * time.Hour, func() { d.fleet.junk(r(5)) }},
		{8 * time.Hour, func() { d.set(func() { d.server.offers = v(2) }) }},
		{14 * time.Hour, func() { d.set(func() { d.server.offers = v(3) }) }},
		{22 * time.Hour, func() { d.fleet.order("order-4", r(4)) }},
		{23 * time.Hour, func() { d.fleet.part(true) }},
		{23*time.Hour + time.Minute, func() { d.fleet.order("order-4b", r(4)); d.fleet.junk(r(5)) }},
		{24 * time.Hour, func() { d.fleet.part(false) }},
		{28 * time.Hour, func() { d.set(func() { d.server.offers = v(5) }) }},
	} {
		t := time.NewTimer(time.Until(d.start.Add(s.at)))
		select {
		case <-t.C:
			s.do()
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// live has the agent live until the end, one life after the other, and returns
// the last.
func (d *day) live(t *testing.T, ctx context.Context, end time.Time) (last *life, lives int) {
	t.Helper()
	for {
		l, err := d.begin(ctx)
		if err != nil {
			t.Fatalf("after %s: %v", time.Since(d.start), err)
		}
		lives++
		d.set(func() { d.board, d.agent = l.robot, l })
		over := time.NewTimer(time.Until(end))
		select {
		case <-over.C:
			return l, lives
		case <-l.ended:
			over.Stop()
		}
		l.bury()
		var away time.Duration
		d.set(func() {
			away = time.Second
			if d.rng.IntN(3) == 0 {
				away += time.Duration(d.rng.Int64N(int64(20 * time.Minute)))
			}
		})
		time.Sleep(away)
	}
}

// Flags of this package's test, after -args where go test does not know them.
var (
	only = flag.Uint64("seed", 0, "of the day to live through; 0: the first ones")
	days = flag.Uint64("days", 4, "how many days to live through")
)

// TestADay: whatever happened, the robot runs in the end what it should run, was
// never without a firmware to boot, tried nothing again that was put back, and
// nothing was done over and over again. A seed gives the same faults again; which
// goroutine meets them first, it does not say.
func TestADay(t *testing.T) {
	first, n := uint64(1), *days
	if testing.Short() {
		n = 1
	}
	if *only != 0 {
		first, n = *only, 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { aDay(t, seed) })
		})
	}
}

func aDay(t *testing.T, seed uint64) {
	d := newDay(t, seed)
	if err := d.openFleet(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	bad, calm := context.WithTimeout(ctx, badTimes)
	defer calm()
	var wg sync.WaitGroup
	wg.Go(func() { d.speak(ctx) })
	wg.Go(func() { d.story(ctx) })
	d.suffer(bad, &wg)
	l, lives := d.live(t, ctx, d.start.Add(48*time.Hour))
	d.ends(l, v(5))
	d.recorded(l)
	d.spared()
	d.told(v(5))
	l.bury()
	cancel()
	wg.Wait()
	if err := d.fleet.server.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range slices.Sorted(maps.Values(d.faults)) {
		t.Errorf("seed %d: after %s", seed, f)
	}
	t.Logf("seed %d: %d lives, %d events; done %v; written %v, put back %v", seed, lives, len(d.fleet.events), d.done, d.writes, d.blamed)
}
