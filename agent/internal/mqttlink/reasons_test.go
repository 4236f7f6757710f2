package mqttlink

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/preflight"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// What holds an update back reaches the fleet with all that belongs to it, and
// a number in it that wobbles is no news each time.
func TestTheFleetHearsWhatAnUpdateWaitsFor(t *testing.T) {
	a := &air{}
	aloft(t, a, func(t *testing.T, _ *Link, e *fake) {
		time.Sleep(time.Minute)
		since := time.Now().UTC()
		low := func(text string) {
			e.set(func(s *update.Status) {
				s.State = update.Waiting
				s.Reasons = []preflight.Reason{{Code: preflight.BatteryLow, Text: text, Since: since, Lift: "charge above 50 %"}}
			})
		}
		before := len(a.on("ota/status"))
		low("40 %")
		time.Sleep(time.Second)
		said := a.on("ota/status")
		var got struct {
			State   string
			Reasons []struct{ Code, Text, Since, Lift string }
		}
		if err := json.Unmarshal([]byte(said[len(said)-1].payload), &got); err != nil || got.State != "waiting" || len(got.Reasons) != 1 {
			t.Fatalf("%s, %v", said[len(said)-1].payload, err)
		}
		r := got.Reasons[0]
		if r.Code != "battery_low" || r.Text != "40 %" || r.Lift != "charge above 50 %" || r.Since != since.Format(time.RFC3339Nano) {
			t.Errorf("%+v", r)
		}
		for i := range 20 {
			low([]string{"40 %", "41 %"}[i%2])
			time.Sleep(pace / 10)
		}
		if n := len(a.on("ota/status")) - before; n > 5 {
			t.Errorf("a number that wobbles was told %d times", n)
		}
	})
}
