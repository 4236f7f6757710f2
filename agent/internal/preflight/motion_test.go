package preflight

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

func TestMotionThatARollbackWaitsFor(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stale := now.Add(-6 * time.Second)
	word := robot.Firmware{Motors: "idle", At: now}
	driving := word
	driving.Motors = "driving"
	for name, tt := range map[string]struct {
		heard []robot.Observation
		want  []Code
		live  bool
	}{
		"never heard":               {nil, nil, false},
		"stands":                    {[]robot.Observation{word, robot.Odometry{At: now}, robot.Command{At: now}}, nil, true},
		"moves":                     {[]robot.Observation{word, robot.Odometry{Linear: 0.011, At: now}}, []Code{Moving}, true},
		"creeps":                    {[]robot.Observation{word, robot.Odometry{Linear: 0.01, At: now}}, nil, true},
		"turns":                     {[]robot.Observation{word, robot.Odometry{Angular: -0.03, At: now}}, []Code{Moving}, true},
		"moves, who knows how":      {[]robot.Observation{word, robot.Odometry{Linear: math.NaN(), At: now}}, []Code{Moving}, true},
		"moved a while ago":         {[]robot.Observation{word, robot.Odometry{Linear: 1, At: stale}}, nil, true},
		"sent off":                  {[]robot.Observation{word, robot.Command{Linear: 1, At: now}}, []Code{Commanded}, true},
		"motors run":                {[]robot.Observation{driving}, []Code{MotorsBusy}, true},
		"all of it":                 {[]robot.Observation{driving, robot.Odometry{Linear: 1, At: now}, robot.Command{Linear: 1, At: now}}, []Code{MotorsBusy, Moving, Commanded}, true},
		"moves, firmware silent":    {[]robot.Observation{robot.Firmware{Motors: "driving", At: stale}, robot.Odometry{Linear: 1, At: now}}, nil, false},
		"moves, stop pressed":       {[]robot.Observation{driving, robot.Odometry{Linear: 1, At: now}, robot.EStop{Stopped: true, At: now}}, nil, false},
		"moves, state says stopped": {[]robot.Observation{driving, robot.EStop{State: robot.EStopStopped, At: now}}, nil, false},
		"moves, stop long ago":      {[]robot.Observation{driving, robot.EStop{Stopped: true, At: stale}}, []Code{MotorsBusy}, true},
		"moves in recovery":         {[]robot.Observation{driving, robot.EStop{State: robot.EStopRecovery, At: now}}, []Code{MotorsBusy}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var f robot.Facts
			for _, o := range tt.heard {
				f = f.With(o)
			}
			seen, oldest, live := Motion(f, DefaultPolicy(), now)
			var got []Code
			for _, r := range seen {
				got = append(got, r.Code)
				if r.Lift == "" || r.Text == "" {
					t.Errorf("%+v", r)
				}
			}
			if !slices.Equal(got, tt.want) || live != tt.live || (live && oldest.IsZero()) {
				t.Errorf("%v, oldest %s, live %v", got, oldest, live)
			}
		})
	}
}
