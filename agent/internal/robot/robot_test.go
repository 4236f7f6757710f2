package robot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
)

func TestFirmwareFrom(t *testing.T) {
	good := map[string]string{
		"firmware_version": "0.2.1", "protocol_version": "1", "app_sha256": strings.Repeat("AB", 32), "slot": "ota_1",
		"ota_state": "valid", "boot_count": "17", "reset_reason": "panic", "safety_state": "normal", "motors": "idle", "self_test": "passed",
	}
	now := time.Now()
	w, err := FirmwareFrom(Diagnostic{Values: good, Level: Warn, At: now}, DefaultKeys())
	want := Firmware{Version: compat.Version{Minor: 2, Patch: 1}, Protocol: 1, AppSHA256: strings.Repeat("ab", 32), Slot: "ota_1",
		OTAState: "valid", BootCount: 17, ResetReason: "panic", SafetyState: "normal", Motors: "idle", SelfTest: "passed", Level: Warn, At: now}
	if err != nil || w != want {
		t.Fatalf("got %+v, %v", w, err)
	}
	for key, bad := range map[string]string{
		"firmware_version": "", "protocol_version": "256", "app_sha256": "abcd", "boot_count": "-1",
	} {
		values := maps.Clone(good)
		values[key] = bad
		if _, err := FirmwareFrom(Diagnostic{Name: "r/firmware", Values: values}, DefaultKeys()); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%q: %v", key, bad, err)
		}
	}
	if _, err := FirmwareFrom(Diagnostic{Values: map[string]string{"firmware_version": "0.2.1"}}, DefaultKeys()); err != nil {
		t.Errorf("a firmware that says only its version: %v", err)
	}
}

func TestTheKeyThatAFirmwareEmbeds(t *testing.T) {
	const xy = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" + "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5" // P-256's base point
	for said, want := range map[string]string{
		"": "", "9d130c012336b3f8": "9d130c012336b3f8", "9D130C012336B3F8": "9d130c012336b3f8",
		xy: basePoint(t, xy), strings.ToUpper(xy): basePoint(t, xy),
		"dev key": "dev key", xy[:126] + "00": xy[:126] + "00", // no point of the curve
	} {
		w, err := FirmwareFrom(Diagnostic{Values: map[string]string{"firmware_version": "0.2.1", "signing_key": said}}, DefaultKeys())
		if err != nil || w.SigningKey != want {
			t.Errorf("%q: %q, %v", said, w.SigningKey, err)
		}
	}
}

// basePoint computes the id by hand.
func basePoint(t *testing.T, xy string) string {
	t.Helper()
	der, err := hex.DecodeString("3059301306072a8648ce3d020106082a8648ce3d03010703420004" + xy)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}

func TestFactsAreNotChangedBehindTheReadersBack(t *testing.T) {
	f := Facts{}.With(Diagnostic{Name: "a", Level: OK})
	g := f.With(Diagnostic{Name: "a", Level: Error}).With(Diagnostic{Name: "b"})
	if f.Diagnostics["a"].Level != OK || len(f.Diagnostics) != 1 || g.Diagnostics["a"].Level != Error {
		t.Errorf("%+v %+v", f, g)
	}
}

func TestDiagnosticsAreBounded(t *testing.T) {
	var f Facts
	for i := range 2 * MaxDiagnostics {
		f = f.With(Diagnostic{Name: fmt.Sprint(i)})
	}
	f = f.With(Diagnostic{Name: "0", Level: Error})
	if len(f.Diagnostics) != MaxDiagnostics || f.Diagnostics["0"].Level != Error {
		t.Errorf("%d names are remembered", len(f.Diagnostics))
	}
}

func TestBoard(t *testing.T) {
	b := NewBoard()
	news, end := b.News()
	var tapped []Observation
	stop := b.Tap(func(o Observation) { tapped = append(tapped, o) })
	b.Post(Battery{Fraction: 0.4})
	b.Post(Battery{Fraction: 0.5}) // nobody has looked yet: Post does not wait
	<-news
	if f := b.Facts(); f.Battery.Fraction != 0.5 {
		t.Errorf("%+v", f.Battery)
	}
	stop()
	end()
	b.Post(EStop{})
	select {
	case <-news:
		t.Error("news after the end of the subscription")
	default:
	}
	if len(tapped) != 2 {
		t.Errorf("tapped %d observations, want 2", len(tapped))
	}
}

func TestMessagesAreCounted(t *testing.T) {
	f := Facts{}.With(Battery{}).With(Odometry{}).With(Odometry{Messages: 5}).With(Diagnostic{Name: "a"}).With(Diagnostic{Name: "a"}).
		With(Diagnostic{Name: "b", Beside: true}).
		With(DTLS{Tries: 3, Failures: 1})
	if want := (Counts{Odometry: 6, Diagnostics: 2, Battery: 1}); f.Heard != want || f.DTLS.Tries != 3 {
		t.Errorf("%+v, %+v", f.Heard, f.DTLS)
	}
}
