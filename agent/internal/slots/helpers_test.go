package slots_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/esprom"
	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app builds an app image.
func app(t testing.TB, s testimage.Spec) []byte {
	t.Helper()
	if s.Size == 0 {
		s.Size = 8 << 10
	}
	b, err := testimage.Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// verified signs and verifies an app image.
func verified(t testing.TB, payload []byte) image.Verified {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := image.Sign(payload, key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := image.Verify(signed, image.NewKeyring(pub), image.Policy{Chip: image.AnyChip, AllowDowngrade: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// provision makes a flash with the fleet's layout.
func provision(t testing.TB, images map[string][]byte) []byte {
	t.Helper()
	flash, err := espsim.Provision(0, 0, images)
	if err != nil {
		t.Fatal(err)
	}
	return flash
}

// buttons resets a simulated chip as its buttons would.
type buttons struct{ chip *espsim.Chip }

func (b buttons) Bootloader(context.Context, int) error { b.chip.ResetToBootloader(); return nil }
func (b buttons) Run(context.Context) error             { b.chip.ResetToApp(); return nil }

// robot is a simulated chip on fake time that wastes none.
type robot struct {
	*espsim.Chip
	t *testing.T
}

func bubble(t *testing.T, cfg espsim.Config, f func(t *testing.T, r robot)) {
	t.Helper()
	cfg.Unpaced = true
	synctest.Test(t, func(t *testing.T) {
		chip, err := espsim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer chip.Close()
		f(t, robot{chip, t})
	})
}

// open connects to the chip's loader.
func (r robot) open() (*slots.Device, *esprom.Session, error) {
	s, err := esprom.Connect(r.t.Context(), r.Open(), buttons{r.Chip}, esprom.Options{Chip: image.ESP32S3, FlashSize: 8 << 20})
	if err != nil {
		return nil, nil, err
	}
	return slots.New(s, s.Info().FlashSize, s.Info().Chip), s, nil
}

// device connects, and fails the test if that does not work.
func (r robot) device() (*slots.Device, *esprom.Session) {
	r.t.Helper()
	d, s, err := r.open()
	if err != nil {
		r.t.Fatal(err)
	}
	return d, s
}

// running waits until an application runs and gives its state.
func (r robot) running() espsim.AppStatus {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	st, err := r.WaitApp(ctx, func(s espsim.AppStatus) bool { return s.Running })
	if err != nil {
		r.t.Fatalf("no application runs: %v; %+v", err, r.Report())
	}
	return st
}

// healthy waits until an application has passed its self-test, and so has
// ended its count of boots that failed.
func (r robot) healthy() espsim.AppStatus {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	st, err := r.WaitApp(ctx, func(s espsim.AppStatus) bool { return s.Running && s.SelfTest == "passed" })
	if err != nil {
		r.t.Fatalf("no application gets healthy: %v; %+v", err, r.Report())
	}
	return st
}

const (
	ota0    = flashmap.Slot(0)
	ota1    = flashmap.Slot(1)
	factory = flashmap.Factory
)

// update is the whole way to a slot that boots next.
func update(ctx context.Context, d *slots.Device, from, to flashmap.Slot, v image.Verified) error {
	if err := d.Write(ctx, to, v, nil); err != nil {
		return err
	}
	if err := d.Attest(ctx, to, v); err != nil {
		return err
	}
	return d.Switch(ctx, from, to)
}
