package slots_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// TestCuts cuts the power at every flash operation of an update, from every
// slot, with rollback on and off. After each cut the chip boots the old or the
// new app, and repeating the update works.
func TestCuts(t *testing.T) {
	oldApp, newApp := app(t, testimage.Spec{Version: "0.2.0"}), app(t, testimage.Spec{Version: "0.2.1"})
	for _, from := range []flashmap.Slot{factory, ota0, ota1} {
		for _, rollback := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/rollback=%v", from, rollback), func(t *testing.T) {
				bubble(t, espsim.Config{Flash: provision(t, map[string][]byte{"factory": oldApp}), Rollback: rollback}, func(t *testing.T, r robot) {
					r.settle(from)
					to := ota0
					if from == ota0 {
						to = ota1
					}
					start := r.Snapshot()
					v := verified(t, newApp)
					cuts := uint64(0)
					for op := uint64(1); ; op++ {
						r.Restore(start)
						if !r.cutAt(op, from, to, v) {
							break
						}
						cuts++
					}
					t.Logf("%d cuts", cuts)
					if cuts < 40 {
						t.Error("too few flash operations to be true")
					}
				})
			})
		}
	}
}

// settle brings a chip that runs factory to run the same app in slot s,
// confirmed.
func (r robot) settle(s flashmap.Slot) {
	from := factory
	for to := ota0; to <= s; to++ {
		d, session := r.device()
		if err := update(r.t.Context(), d, from, to, verified(r.t, app(r.t, testimage.Spec{Version: "0.2.0"}))); err != nil {
			r.t.Fatal(err)
		}
		if err := session.Close(r.t.Context(), true); err != nil {
			r.t.Fatal(err)
		}
		r.healthy()
		from = to
	}
}

// cutAt updates with a power cut at flash operation op; false when there is no
// such operation.
func (r robot) cutAt(op uint64, from, to flashmap.Slot, v image.Verified) bool {
	r.t.Helper()
	return r.interrupted(espsim.Faults{CutAtFlashOp: op, Tear: espsim.Tear(op % 3)}, from, to, v)
}

// interrupted updates with faults that end it; false when they do not strike.
// Afterwards the chip must boot the old or the new app, and the update must
// work when it is done again.
func (r robot) interrupted(f espsim.Faults, from, to flashmap.Slot, v image.Verified) bool {
	r.t.Helper()
	r.healthy()
	d, s, err := r.open()
	if err != nil {
		r.t.Fatal(err)
	}
	r.SetFaults(f)
	err = update(r.t.Context(), d, from, to, v)
	if closing := s.Close(r.t.Context(), false); closing != nil {
		r.t.Error(closing)
	}
	if err == nil {
		return false
	}
	r.SetFaults(espsim.Faults{})
	r.Plug()
	r.PowerOn()
	r.ResetToApp()
	st := r.healthy()
	if st.Version != "0.2.0" && st.Version != "0.2.1" {
		r.t.Fatalf("%+v: %s boots", f, st.Version)
	}
	if st.Version == "0.2.1" {
		return true // it struck after all was done
	}
	d, s = r.device()
	if err := update(r.t.Context(), d, from, to, v); err != nil {
		r.t.Fatalf("%+v: the update cannot be repeated: %v; %+v", f, err, r.Report())
	}
	if err := s.Close(r.t.Context(), true); err != nil {
		r.t.Fatal(err)
	}
	if st := r.running(); st.Version != "0.2.1" {
		r.t.Fatalf("%+v: %s boots after the update was repeated", f, st.Version)
	}
	return true
}

// TestFrameCuts takes power or cable away at the frames of an update, in both
// directions.
func TestFrameCuts(t *testing.T) {
	oldApp, newApp := app(t, testimage.Spec{Version: "0.2.0"}), app(t, testimage.Spec{Version: "0.2.1"})
	kinds := map[string]func(n uint64) espsim.Faults{
		"power, to the chip": func(n uint64) espsim.Faults { return espsim.Faults{ToChip: espsim.LineFaults{CutFrame: n}} },
		"power, to the host": func(n uint64) espsim.Faults { return espsim.Faults{ToHost: espsim.LineFaults{CutFrame: n}} },
		"cable, to the chip": func(n uint64) espsim.Faults { return espsim.Faults{ToChip: espsim.LineFaults{PullFrame: n}} },
		"cable, to the host": func(n uint64) espsim.Faults { return espsim.Faults{ToHost: espsim.LineFaults{PullFrame: n}} },
	}
	for name, fault := range kinds {
		t.Run(name, func(t *testing.T) {
			bubble(t, espsim.Config{Flash: provision(t, map[string][]byte{"factory": oldApp}), Rollback: true}, func(t *testing.T, r robot) {
				r.settle(ota0)
				start := r.Snapshot()
				v := verified(t, newApp)
				n := uint64(1)
				for ; ; n += 2 {
					r.Restore(start)
					r.Plug()
					if !r.interrupted(fault(n), ota0, ota1, v) {
						break
					}
				}
				t.Logf("%d frames", n)
				if n < 40 {
					t.Error("too few frames to be true")
				}
			})
		})
	}
}

// TestWayBackCuts cuts the power at every flash operation of Restore and of
// Confirm. Each time some app boots; repeating Restore brings the old one back.
func TestWayBackCuts(t *testing.T) {
	oldApp, newApp := app(t, testimage.Spec{Version: "0.2.0"}), app(t, testimage.Spec{Version: "0.2.1", Behaviour: "no_confirm"})
	for _, from := range []flashmap.Slot{factory, ota0, ota1} {
		for _, rollback := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/rollback=%v", from, rollback), func(t *testing.T) {
				bubble(t, espsim.Config{Flash: provision(t, map[string][]byte{"factory": oldApp}), Rollback: rollback}, func(t *testing.T, r robot) {
					r.settle(from)
					to := ota0
					if from == ota0 {
						to = ota1
					}
					d, s := r.device()
					if err := update(t.Context(), d, from, to, verified(t, newApp)); err != nil {
						t.Fatal(err)
					}
					if err := s.Close(t.Context(), true); err != nil {
						t.Fatal(err)
					}
					if st := r.running(); st.Version != "0.2.1" {
						t.Fatalf("%s runs", st.Version)
					}
					_, s = r.device() // while it is on trial: the loader leaves OTA data alone
					if err := s.Close(t.Context(), false); err != nil {
						t.Fatal(err)
					}
					start := r.Snapshot()
					restore := func(ctx context.Context, d *slots.Device) error { return d.Restore(ctx, to, from) }
					confirm := func(ctx context.Context, d *slots.Device) error { return d.Confirm(ctx, to) }
					for op := uint64(1); r.stepCut(start, op, restore); op++ {
						d, s := r.device()
						if err := restore(t.Context(), d); err != nil {
							t.Fatalf("cut at %d: %v; %+v", op, err, r.Report())
						}
						if err := s.Close(t.Context(), true); err != nil {
							t.Fatal(err)
						}
						if st := r.running(); st.Version != "0.2.0" {
							t.Fatalf("cut at %d: %s boots after the way back was repeated", op, st.Version)
						}
					}
					for op := uint64(1); r.stepCut(start, op, confirm); op++ {
						if v := r.running().Version; v != "0.2.0" && v != "0.2.1" {
							t.Fatalf("cut at %d: %s boots", op, v)
						}
					}
				})
			})
		}
	}
}

// stepCut does one step on the chip as it was at start, with a power cut at
// flash operation op, and gives the power back; false when there is no such
// operation.
func (r robot) stepCut(start espsim.Snapshot, op uint64, step func(context.Context, *slots.Device) error) bool {
	r.t.Helper()
	if op > 50 {
		r.t.Fatal("it fails without a cut")
	}
	r.SetLines(true, false) // IO0 low: nothing boots before the step
	r.Restore(start)
	r.SetLines(false, false)
	d, s := r.device()
	r.SetFaults(espsim.Faults{CutAtFlashOp: op, Tear: espsim.Tear(op % 3)})
	err := step(r.t.Context(), d)
	if closing := s.Close(r.t.Context(), false); closing != nil {
		r.t.Error(closing)
	}
	r.SetFaults(espsim.Faults{})
	r.PowerOn()
	r.ResetToApp()
	r.running()
	return err != nil
}
