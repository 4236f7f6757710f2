package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/robot-platform/robot-ota/agent/simulated"
	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/controller"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/ingest"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// simSKU is the SKU of simulated robots.
const simSKU = "standard"

// simStart is when simulated time begins.
func simStart() time.Time { return time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC) }

// clock is the time of the simulation.
type clock struct{ ns atomic.Int64 }

func (c *clock) Now() time.Time       { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) set(t time.Time)      { c.ns.Store(t.UnixNano()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// world is a simulated fleet and the real update server's insides, in one time.
type world struct {
	clock    *clock
	store    *store.Store
	firmware map[string]simulated.Firmware // by the SHA-256 of the signed file
	robots   []*simulated.Robot
	byID     map[string]*simulated.Robot
	key      *ecdsa.PrivateKey
	// What the server is made of.
	ingest     *ingest.Ingest
	controller *controller.Controller
	emergency  *emergency.Service
}

// newWorld makes a fleet in an empty store.
func newWorld(ctx context.Context, s *store.Store, c *clock, log *slog.Logger) (*world, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	w := &world{clock: c, store: s, key: key, firmware: make(map[string]simulated.Firmware), byID: make(map[string]*simulated.Robot)}
	w.ingest = ingest.New(ingest.Config{Now: c.Now}, s, log)
	w.emergency = emergency.New(s, c.Now)
	w.controller = controller.New(controller.Config{Now: c.Now, Every: simStep}, s, w.emergency, log)
	return w, s.Update(ctx, "key", func(tx *store.Tx) error {
		_, err := tx.AddKey(ctx, pub, "simulation")
		return err
	})
}

// publish builds, signs and publishes a firmware of some nature.
func (w *world) publish(ctx context.Context, v compat.Version, n simulated.Nature, stable bool) (release.Release, error) {
	var r release.Release
	app, err := testimage.Build(testimage.Spec{Version: v.String(), Size: 64 << 10, Seed: uint64(v.Packed())})
	if err != nil {
		return r, err
	}
	signed, err := image.Sign(app, w.key)
	if err != nil {
		return r, err
	}
	trusted, err := w.store.Trusted(ctx)
	if err != nil {
		return r, err
	}
	fresh, err := release.Prove(signed, trusted, image.ESP32S3, []string{simSKU}, w.clock.Now())
	if err != nil {
		return r, err
	}
	for i := range fresh {
		fresh[i].By = "simulation"
		if stable {
			fresh[i].Status, fresh[i].Reason = release.Stable, "what the fleet runs"
		}
	}
	if err := w.store.Publish(ctx, signed, fresh); err != nil {
		return r, err
	}
	r = fresh[0]
	w.firmware[r.SHA256] = simulated.NewFirmware(v, r.SHA256, r.AppSHA256, uint32(len(app)), r.Key, n)
	return r, nil
}

// simTest is how many of the robots are test robots.
const simTest = 2

// populate registers robots that run a version. The test robots agree with every
// firmware: no canary is needed for what they would find.
func (w *world) populate(ctx context.Context, size int, runs compat.Version, seed uint64) error {
	companion := compat.Version{Minor: 2}
	for i := range size {
		cfg := simulated.DefaultConfig()
		cfg.ID, cfg.SKU, cfg.Companion, cfg.Runs = fmt.Sprintf("robot-%05d", i+1), simSKU, companion, runs
		cfg.Firmware, cfg.Seed, cfg.Start, cfg.Agreeable = w.firmware, seed<<32+uint64(i)+1, w.clock.Now(), i < simTest
		cfg.ReportEvery = simStep
		r, err := simulated.New(cfg)
		if err != nil {
			return err
		}
		w.robots, w.byID[cfg.ID] = append(w.robots, r), r
	}
	return w.store.Update(ctx, "robots", func(tx *store.Tx) error {
		for i, r := range w.robots {
			err := tx.AddRobot(ctx, store.Robot{ID: r.ID(), SKU: simSKU, Companion: companion, Internal: i < simTest, Note: "simulated"})
			if err != nil && !errors.Is(err, store.ErrExists) {
				return err
			}
		}
		return nil
	})
}

// Check is what a robot is offered, by the same rules as over HTTP.
func (w *world) Check(ctx context.Context, robot string, runs compat.Version) (simulated.Offer, bool, error) {
	r, err := w.store.Robot(ctx, robot)
	if err != nil {
		return simulated.Offer{}, false, err
	}
	offered, err := w.store.Offered(ctx, r.SKU, r.ID)
	if err != nil {
		return simulated.Offer{}, false, err
	}
	choice, ok := release.Choose(offered, release.Robot{ID: r.ID, SKU: r.SKU, Running: runs, Companion: r.CompanionVersion()})
	err = w.store.Note(ctx, "check", func(tx *store.Tx) error { return tx.NoteCheck(ctx, r.ID, choice.Version) })
	return simulated.Offer{SHA256: choice.SHA256, Size: choice.Size, Version: choice.Version, Release: choice.Name}, ok, err
}

// runs counts the robots that run a version, and says what the others run, some
// of it where that differs.
func (w *world) runs(v compat.Version) (n int, others compat.Version) {
	for _, r := range w.robots {
		if r.Runs() == v {
			n++
		} else {
			others = r.Runs()
		}
	}
	return n, others
}
