package slots_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/slots"
	"github.com/robot-platform/robot-ota/firmware/flashmap"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

func TestInspect(t *testing.T) {
	old := app(t, testimage.Spec{Version: "0.2.0", Size: 300 << 10})
	flash := provision(t, map[string][]byte{"factory": app(t, testimage.Spec{Version: "0.1.0"}), "ota_1": old})
	bubble(t, espsim.Config{Flash: flash}, func(t *testing.T, r robot) {
		d, _ := r.device()
		v, err := d.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v.TableOffset != 0x10000 || v.Chosen != factory || v.Boots != factory || v.Inactive != ota0 || v.State != flashmap.Valid {
			t.Errorf("got %+v", v)
		}
		if v.App.Desc.Version != "0.1.0" {
			t.Errorf("factory: %+v", v.App)
		}
		if app, err := d.Outline(t.Context(), factory); err != nil || !reflect.DeepEqual(app, v.App) {
			t.Errorf("factory: %+v, %v, want %+v", app, err, v.App)
		}
		if app, err := d.Outline(t.Context(), ota0); !errors.Is(err, image.ErrApp) {
			t.Errorf("ota_0: %+v, %v", app, err)
		}
		var refused *slots.Refusal
		if app, err := d.Outline(t.Context(), 2); !errors.As(err, &refused) || refused.Code() != slots.CodeNoSlot {
			t.Errorf("ota_2: %+v, %v", app, err)
		}
		whole, err := image.ParseApp(old)
		if err != nil {
			t.Fatal(err)
		}
		if app, err := d.Outline(t.Context(), ota1); err != nil || app.Desc != whole.Desc || app.Digest != whole.Digest || app.Size != whole.Size {
			t.Errorf("ota_1: %+v, %v, want %+v", app, err, whole)
		}
	})
}

// TestUpdates goes through a robot's life: from factory to ota_0, on to ota_1,
// and back.
func TestUpdates(t *testing.T) {
	for _, rollback := range []bool{false, true} {
		flash := provision(t, map[string][]byte{"factory": app(t, testimage.Spec{Version: "0.1.0"})})
		bubble(t, espsim.Config{Flash: flash, Rollback: rollback}, func(t *testing.T, r robot) {
			from := factory
			for i, version := range []string{"0.2.0", "0.2.1", "0.2.2"} {
				to := flashmap.Slot(i % 2)
				payload := app(t, testimage.Spec{Version: version, Seed: uint64(i)})
				d, s := r.device()
				var seen int64
				v := verified(t, payload)
				if err := d.Write(t.Context(), to, v, func(done, total int64) { seen = done }); err != nil {
					t.Fatal(err)
				}
				if seen != int64(len(payload)) {
					t.Errorf("progress ended at %d of %d", seen, len(payload))
				}
				if err := d.Attest(t.Context(), to, v); err != nil {
					t.Fatal(err)
				}
				if err := d.Switch(t.Context(), from, to); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				if st := r.running(); st.Version != version || st.Slot != to.String() {
					t.Fatalf("%s runs in %s, want %s in %s", st.Version, st.Slot, version, to)
				}
				r.healthy() // it has confirmed itself
				d, s = r.device()
				refusal(t, d.Write(t.Context(), to, v, nil), slots.CodeRunningSlot)
				if err := s.Close(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				r.healthy()
				from = to
			}
			d, s := r.device()
			if err := d.Restore(t.Context(), ota0, ota1); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if st := r.running(); st.Version != "0.2.1" {
				t.Errorf("%s runs after going back", st.Version)
			}
			d, s = r.device()
			if err := d.Restore(t.Context(), ota1, factory); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if st := r.running(); st.Version != "0.1.0" {
				t.Errorf("%s runs after going back to factory", st.Version)
			}
		})
	}
}

// TestConfirm: the agent confirms firmware that cannot.
func TestConfirm(t *testing.T) {
	flash := provision(t, map[string][]byte{"factory": app(t, testimage.Spec{Version: "0.1.0"})})
	bubble(t, espsim.Config{Flash: flash, Rollback: true}, func(t *testing.T, r robot) {
		v := verified(t, app(t, testimage.Spec{Version: "0.2.0", Behaviour: "no_confirm"}))
		d, s := r.device()
		if err := update(t.Context(), d, factory, ota0, v); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if st := r.running(); st.OTAState != "pending_verify" {
			t.Fatalf("state %s", st.OTAState)
		}
		d, s = r.device()
		if err := d.Confirm(t.Context(), ota0); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if st := r.running(); st.Version != "0.2.0" || st.OTAState != "valid" {
			t.Errorf("%s runs, %s", st.Version, st.OTAState)
		}
	})
}

func refusal(t *testing.T, err error, code string) {
	t.Helper()
	var r *slots.Refusal
	if !errors.As(err, &r) || r.Code() != code {
		t.Errorf("got %v, want refusal %s", err, code)
	}
}

func TestRefusals(t *testing.T) {
	running := app(t, testimage.Spec{Version: "0.2.0"})
	flash := provision(t, map[string][]byte{"factory": running})
	bubble(t, espsim.Config{Flash: flash}, func(t *testing.T, r robot) {
		ctx := t.Context()
		v := verified(t, app(t, testimage.Spec{Version: "0.2.1"}))
		d, s := r.device()
		writes := func(s flashmap.Slot, v image.Verified) error { return d.Write(ctx, s, v, nil) }
		refusal(t, writes(factory, v), slots.CodeNoSlot)
		refusal(t, writes(2, v), slots.CodeNoSlot)
		refusal(t, writes(ota0, image.Verified{}), slots.CodeNoApp)
		refusal(t, writes(ota0, verified(t, app(t, testimage.Spec{Version: "1.0.0", Chip: testimage.ChipESP32}))), slots.CodeOtherChip)
		refusal(t, writes(ota0, verified(t, app(t, testimage.Spec{Version: "1.0.0", Size: 2<<20 + 16}))), slots.CodeTooLarge)

		refusal(t, d.Attest(ctx, ota0, v), slots.CodeMismatch) // nothing was written
		refusal(t, d.Attest(ctx, 5, v), slots.CodeNoSlot)
		refusal(t, d.Switch(ctx, factory, ota0), slots.CodeNotAttested)
		refusal(t, d.Restore(ctx, factory, ota1), slots.CodeNoApp)
		refusal(t, d.Restore(ctx, factory, 7), slots.CodeNoSlot)
		refusal(t, d.Confirm(ctx, ota0), slots.CodeNoApp)
		const otadata = 0x18000 // nvs lies below, where the app counts its boots
		if !bytes.Equal(r.Flash()[otadata:], flash[otadata:]) {
			t.Fatal("the flash was changed")
		}

		// What was attested may be switched to; writing ends that.
		if err := writes(ota0, v); err != nil {
			t.Fatal(err)
		}
		if err := d.Attest(ctx, ota0, v); err != nil {
			t.Fatal(err)
		}
		if err := writes(ota0, v); err != nil {
			t.Fatal(err)
		}
		refusal(t, d.Switch(ctx, factory, ota0), slots.CodeNotAttested)
		if err := d.Attest(ctx, ota0, v); err != nil {
			t.Fatal(err)
		}
		refusal(t, d.Attest(ctx, ota0, verified(t, app(t, testimage.Spec{Version: "0.2.2"}))), slots.CodeMismatch)
		refusal(t, d.Switch(ctx, factory, ota0), slots.CodeNotAttested)
		if err := d.Attest(ctx, ota0, v); err != nil {
			t.Fatal(err)
		}
		if err := d.Switch(ctx, factory, ota0); err != nil {
			t.Fatal(err)
		}
		if err := d.Switch(ctx, factory, ota0); err != nil {
			t.Errorf("the second time: %v", err)
		}

		// From now on ota_0 boots on trial and is not to be touched, nor is
		// anything it might fall back on.
		refusal(t, writes(ota0, v), slots.CodeRunningSlot)
		refusal(t, writes(ota1, v), slots.CodeRunningSlot)
		if err := s.Close(ctx, true); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNoTable: a chip that is not laid out as expected is left alone.
func TestNoTable(t *testing.T) {
	good := provision(t, nil)
	torn := bytes.Clone(good)
	torn[0x10000+3*32+4] ^= 1
	for name, flash := range map[string][]byte{"blank": nil, "torn": torn} {
		t.Run(name, func(t *testing.T) {
			bubble(t, espsim.Config{Flash: flash}, func(t *testing.T, r robot) {
				d, _ := r.device()
				_, err := d.Inspect(t.Context())
				refusal(t, err, slots.CodeNoTable)
			})
		})
	}
}
