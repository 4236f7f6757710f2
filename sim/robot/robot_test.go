package robot

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f with a robot, whose firmware behaves as told, on fake time.
func bubble(t *testing.T, behaviour string, f func(t *testing.T, r *Robot)) {
	t.Helper()
	bubbleOf(t, testimage.Spec{Version: "0.2.1", Behaviour: behaviour, Protocol: 1}, f)
}

// bubbleOf runs f with a robot of that firmware, on fake time.
func bubbleOf(t *testing.T, spec testimage.Spec, f func(t *testing.T, r *Robot)) {
	t.Helper()
	img, err := testimage.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	flash, err := espsim.Provision(0, 0, map[string][]byte{"factory": img})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{ID: "robot_07", Chip: espsim.Config{Flash: flash}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		f(t, r)
	})
}

// values are those of a status, by key; nil where it is not published.
func values(s Sample, name string) (Status, map[string]string) {
	for _, d := range s.Diagnostics {
		if d.Name == name {
			m := map[string]string{}
			for _, v := range d.Values {
				m[v.Key] = v.Value
			}
			return d, m
		}
	}
	return Status{}, nil
}

// A firmware that embeds a key says which; one that does not is silent about it.
func TestTheEmbeddedKeyIsReported(t *testing.T) {
	for key, want := range map[string]string{
		"": "", strings.Repeat("00", 64): "1613ee6dfc6ee98a",
	} {
		bubbleOf(t, testimage.Spec{Version: "0.2.1", SigningKey: key}, func(t *testing.T, r *Robot) {
			time.Sleep(10 * time.Second)
			_, got := values(r.Sample(), "robot_07/firmware")
			if id, said := got["signing_key"]; id != want || said != (want != "") {
				t.Errorf("key %.8q: reported as %q", key, id)
			}
		})
	}
	for name, spec := range map[string]testimage.Spec{
		"too short": {Version: "0.2.1", SigningKey: "00"}, "no hex": {Version: "0.2.1", SigningKey: strings.Repeat("xx", 64)},
		"no room": {Version: "0.2.1", Behaviour: "wrong_version:" + strings.Repeat("9", 100), SigningKey: strings.Repeat("00", 64)},
	} {
		if _, err := testimage.Build(spec); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

func TestSpeaksWhileTheFirmwareRuns(t *testing.T) {
	bubble(t, "good", func(t *testing.T, r *Robot) {
		if r.Sample().Publishing {
			t.Error("the firmware speaks while it boots")
		}
		time.Sleep(10 * time.Second)
		s := r.Sample()
		_, m := values(s, "robot_07/firmware")
		want := map[string]string{
			"firmware_version": "0.2.1", "protocol_version": "1", "app_sha256": s.App.SHA256, "slot": "factory",
			"ota_state": "undefined", "boot_count": "1", "reset_reason": "poweron", "safety_state": "normal",
			"motors": "idle", "self_test": "passed",
		}
		for k, v := range want {
			if m[k] != v || v == "" {
				t.Errorf("%s is %q, want %q", k, m[k], v)
			}
		}
		if !s.Publishing || len(m) != len(want) {
			t.Errorf("publishing %v, values %v", s.Publishing, m)
		}
		r.Chip().ResetToBootloader()
		if r.Sample().Publishing {
			t.Error("the firmware speaks in download mode")
		}
	})
}

func TestSilentFirmwareSaysNothing(t *testing.T) {
	bubble(t, "silent", func(t *testing.T, r *Robot) {
		time.Sleep(10 * time.Second)
		if s := r.Sample(); s.Publishing || !s.App.Running {
			t.Errorf("%+v", s.App)
		}
	})
}

func TestEStop(t *testing.T) {
	bubble(t, "estop_after:10", func(t *testing.T, r *Robot) {
		time.Sleep(5 * time.Second)
		if err := r.SetVelocity(0.3, 0); err != nil {
			t.Fatal(err)
		}
		if _, m := values(r.Sample(), "robot_07/firmware"); m["motors"] != "running" {
			t.Errorf("motors %q", m["motors"])
		}
		if err := r.SetEStop(EStop{Stopped: true, State: 1, Reason: "operator: button"}); err != nil {
			t.Fatal(err)
		}
		s := r.Sample()
		if d, m := values(s, "robot_07/safety"); !s.EStop.Stopped || s.Odometry != (Twist{}) || d.Level != LevelWarn || m["safety_state"] != "estop" {
			t.Errorf("%+v %+v", s.EStop, d)
		}
		if err := r.SetEStop(EStop{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if e := r.Sample().EStop; !e.Stopped || strings.HasPrefix(e.Reason, "operator") {
			t.Errorf("the firmware's own stop: %+v", e)
		}
	})
}

func TestSurroundings(t *testing.T) {
	bubble(t, "good", func(t *testing.T, r *Robot) {
		time.Sleep(10 * time.Second)
		h := Control(r, nil)
		post := func(path, body string) {
			t.Helper()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
			if w.Code != http.StatusNoContent {
				t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
			}
		}
		if d, m := values(r.Sample(), "robot_07/system"); d.Level != LevelOK || m["wifi_rssi"] != "-52" || m["thermal"] != "ok" {
			t.Errorf("a robot that nothing ails: %+v", d)
		}
		post("/wifi", `{"text":"-80"}`)
		post("/thermal", `{"absent":true}`)
		post("/health", `{"level":2,"message":"the fan is stuck"}`)
		post("/dock", `{"docked":true}`)
		post("/battery", `{"unknown":true,"charging":true}`)
		s := r.Sample()
		d, m := values(s, "robot_07/system")
		if _, told := m["thermal"]; told || m["wifi_rssi"] != "-80" || d.Level != LevelError || d.Message != "the fan is stuck" {
			t.Errorf("%+v", d)
		}
		if !s.Around.Docked || !s.Battery.Unknown || !s.Battery.Charging {
			t.Errorf("%+v %+v", s.Around, s.Battery)
		}
		post("/mute", `{"names":["firmware","odom"]}`)
		s = r.Sample()
		if d, _ := values(s, "robot_07/firmware"); d.Name != "" || len(s.Diagnostics) != 3 || !s.Around.Mutes("odom") {
			t.Errorf("muted: %+v", s.Diagnostics)
		}
		post("/mute", `{}`)
		if s = r.Sample(); len(s.Diagnostics) != 4 || s.Around.Mutes("odom") {
			t.Errorf("heard again: %+v", s.Diagnostics)
		}
	})
}

func TestBatteryDrains(t *testing.T) {
	for behaviour, used := range map[string]float64{"good": 0.1, "drain_after:0.5": 0.3} {
		bubble(t, behaviour, func(t *testing.T, r *Robot) {
			time.Sleep(10 * time.Second)
			r.Sample()
			if err := r.SetBattery(0.9, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got := 0.9 - r.Sample().Battery.Fraction; got < used*0.99 || got > used*1.01 {
				t.Errorf("%s: an hour uses %.3f, want %.1f", behaviour, got, used)
			}
		})
	}
}

func TestControlRefuses(t *testing.T) {
	bubble(t, "good", func(t *testing.T, r *Robot) {
		h := Control(r, nil)
		for path, body := range map[string]string{
			"/reset":    `{"to":"the moon"}`,
			"/battery":  `{"fraction":1.5}`,
			"/estop":    `{"state":9}`,
			"/velocity": `{"linear":1e9}`,
			"/faults":   `{"cut_at_flash_op":1,"tear":"sideways"}`,
			"/power":    `{"om":true}`,
			"/cable":    `{"plugged":true}{"plugged":false}`,
			"/health":   `{"level":4}`,
			"/mute":     `{"names":["odom","moon"]}`,
			"/wifi":     `{"text":"` + strings.Repeat("x", 300) + `"}`,
			"/dock":     `{"docked":"yes"}`,
		} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
			if w.Code != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
			}
		}
	})
}
