package simulated

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
)

const (
	bootTime  = 2 * time.Second // from a reset to the firmware's first word
	selfTest  = 5 * time.Second // from that to its verdict on itself
	odometry  = 50              // messages a second
	lowest    = 0.2             // charge at which a robot goes to its charger
	charged   = 0.95
	chargeFor = 90 * time.Minute // from empty to full
	stopFor   = time.Minute      // that an emergency stop lasts
)

// body is the robot around the agent: what it does by itself, and what it is
// heard to say.
type body struct {
	id string
	// agreeable: no firmware does it any harm.
	agreeable bool

	chip *chip
	rng  *rand.Rand
	t    Temper
	// warnings and errors are this robot's own shares of minutes.
	warnings, errors float64

	charge   float64
	charging bool
	level    robot.Level
	stopped  time.Time // until then; zero: no emergency stop is on
	dtls     robot.DTLS

	up     time.Time // when the firmware speaks after its latest reset
	doomed bool      // its self-test fails
	judged bool      // the self-test is over
}

func newBody(cfg Config, c *chip) *body {
	rng := rand.New(rand.NewPCG(cfg.Seed, mix(cfg.Seed)))
	spread := func(middle float64) float64 { return min(0.5, middle*math.Exp(0.7*rng.NormFloat64())) }
	b := &body{
		id: cfg.ID, agreeable: cfg.Agreeable, chip: c, rng: rng, t: cfg.Temper,
		warnings: spread(cfg.Temper.Warnings), errors: spread(cfg.Temper.Errors),
		charge: lowest + (1-lowest)*rng.Float64(), up: cfg.Start, judged: true,
	}
	if b.agreeable {
		b.warnings, b.errors = 0, 0
	}
	return b
}

// nature is how the firmware that runs behaves on this robot.
func (b *body) nature() (Firmware, Nature, error) {
	f, err := b.chip.firmware()
	if err != nil || b.agreeable || !f.Nature.against(b.id, f.Image.Version) {
		return f, Nature{}, err
	}
	return f, f.Nature, nil
}

// chance says whether something that comes rate times an hour came in d.
func (b *body) chance(rate float64, d time.Duration) bool {
	return rate > 0 && b.rng.Float64() < 1-math.Exp(-rate*d.Hours())
}

func (b *body) reset(now time.Time) error {
	b.chip.boot()
	_, n, err := b.nature()
	b.up, b.judged = now.Add(bootTime), false
	b.doomed = b.rng.Float64() < n.FailsTrial
	return err
}

// live passes d until now, and gives what is heard at its end.
func (b *body) live(now time.Time, d time.Duration) ([]robot.Observation, error) {
	f, n, err := b.nature()
	if err != nil {
		return nil, err
	}
	b.burn(n, d)
	if b.chance(n.EStops, d) {
		b.stopped = now.Add(stopFor)
	}
	if b.chance(n.Reboots, d) {
		if err := b.reset(now); err != nil {
			return nil, err
		}
		if f, n, err = b.nature(); err != nil {
			return nil, err
		}
	}
	b.level = b.feel(n, d)
	heard := []robot.Observation{
		robot.Battery{Fraction: b.charge, Charging: b.charging, At: now},
		b.stop(now),
		robot.Command{At: now},
	}
	if share := odometry * d.Seconds() * (1 - n.Odometry); share >= 1 {
		heard = append(heard, robot.Odometry{Messages: uint64(share), At: now})
	}
	if now.Before(b.up) {
		return heard, nil
	}
	if err := b.prove(now); err != nil {
		return nil, err
	}
	if now.Before(b.up) {
		return heard, nil // it has given itself up
	}
	heard = append(heard, b.firmware(f, now), robot.Diagnostic{Name: b.id + "/system", Level: b.level, At: now})
	for range int(d / time.Second / 30) {
		if b.chance(b.t.Handshakes, 30*time.Second) {
			b.dtls.Tries, b.dtls.At = b.dtls.Tries+1, now
			if b.rng.Float64() < b.t.HandshakeFailures {
				b.dtls.Failures++
			}
		}
	}
	return append(heard, b.dtls), nil
}

// burn uses and loads the battery.
func (b *body) burn(n Nature, d time.Duration) {
	if b.charging {
		b.charge = min(1, b.charge+d.Hours()/chargeFor.Hours())
		b.charging = b.charge < charged
		return
	}
	drain := b.t.Drain
	if n.Drain > 0 {
		drain *= n.Drain
	}
	b.charge = max(0, b.charge-drain*d.Hours())
	b.charging = b.charge <= lowest
}

// feel is the level of the robot's diagnostics at the end of a step. Shares are
// of minutes, however many steps a minute has and whoever's minute it is: levels
// that last for a minute of the body's own would be in two of whoever counts.
func (b *body) feel(n Nature, d time.Duration) robot.Level {
	in := func(share float64) float64 { return -math.Expm1(math.Log1p(-min(share, 0.999999)) * d.Minutes()) }
	failing := in(b.errors + n.Errors)
	switch x := b.rng.Float64(); {
	case x < failing:
		return robot.Error
	case x < failing+in(b.warnings+n.Warnings):
		return robot.Warn
	}
	return robot.OK
}

func (b *body) stop(now time.Time) robot.EStop {
	if now.Before(b.stopped) {
		return robot.EStop{Stopped: true, State: robot.EStopStopped, Reason: "bumper", At: now}
	}
	return robot.EStop{At: now}
}

// prove is the firmware's self-test: it confirms its slot, or gives itself up and
// resets, upon which the bootloader goes back.
func (b *body) prove(now time.Time) error {
	if b.judged || now.Before(b.up.Add(selfTest)) {
		return nil
	}
	b.judged = true
	switch {
	case b.chip.state() != flashmap.PendingVerify:
		return nil
	case b.doomed:
		return b.reset(now)
	}
	return b.chip.confirm()
}

// firmware is its own word.
func (b *body) firmware(f Firmware, now time.Time) robot.Firmware {
	protocol, _ := compat.DefaultTable().Protocol(f.Image.Version)
	w := robot.Firmware{
		Version: f.Image.Version, Protocol: protocol, AppSHA256: f.Image.AppSHA256,
		Slot: b.chip.runs.String(), OTAState: b.chip.state().String(), BootCount: b.chip.boots, ResetReason: "software",
		SafetyState: "normal", Motors: "idle", SelfTest: "passed", SigningKey: f.Image.Key, At: now,
	}
	if !b.judged {
		w.SelfTest = "running"
	}
	return w
}
