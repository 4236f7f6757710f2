//go:build ros2

package ros

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	builtin_interfaces "github.com/robot-platform/robot-ota/internal/rosmsgs/builtin_interfaces/msg"
	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"
	nav_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/nav_msgs/msg"
	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"
	sensor_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/sensor_msgs/msg"
	std_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/std_msgs/msg"

	"github.com/robot-platform/robot-ota/internal/rcl"
	"github.com/robot-platform/robot-ota/sim/robot"
)

// The rates of publication.
const (
	odometryEvery    = 20 * time.Millisecond
	diagnosticsEvery = 500 * time.Millisecond
	stateEvery       = time.Second // battery, emergency stop and dock
)

// Source is the robot whose voice this is.
type Source interface {
	Sample() robot.Sample
}

// Voice is the robot's node.
type Voice struct {
	node *rcl.Node
	log  *slog.Logger
}

// New puts the node on the graph; args is a command line, of which what stands
// after --ros-args counts. Close ends it.
func New(args []string, log *slog.Logger) (*Voice, error) {
	node, err := rcl.Open("robot_firmware", "", args)
	if err != nil {
		return nil, err
	}
	return &Voice{node, log}, nil
}

// Close takes the node off the graph. Run must have returned.
func (v *Voice) Close() error { return v.node.Close() }

// Run publishes what the robot says until ctx ends.
func (v *Voice) Run(ctx context.Context, r Source) (err error) {
	tick := time.NewTicker(odometryEvery)
	defer tick.Stop()
	var m mouth
	defer func() { err = errors.Join(err, m.shut()) }()
	for {
		s := r.Sample()
		switch {
		case s.Publishing && !m.open():
			if m, err = v.speak(); err != nil {
				return fmt.Errorf("robot's topics: %w", err)
			}
			v.log.Info("the firmware speaks", "node", v.node.FullName(), "version", s.App.Version, "slot", s.App.Slot)
		case !s.Publishing && m.open():
			v.log.Info("the firmware has fallen silent", "mode", s.App.Mode)
			if err := m.shut(); err != nil {
				return err
			}
		}
		if m.open() {
			if err := m.say(s, time.Now()); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// speak puts the topics on the graph.
func (v *Voice) speak() (mouth, error) {
	var m mouth
	var errs []error
	add := func(p **rcl.Publisher, topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile) {
		pub, err := v.node.Publisher(topic, ts, qos)
		if err != nil {
			errs = append(errs, err)
			return
		}
		*p = pub
		m.all = append(m.all, pub)
	}
	add(&m.odometry, "odom", rcl.Outgoing[nav_msgs.COdometry](nav_msgs.OdometryTypeSupport), rcl.BestEffort(5))
	add(&m.battery, "battery_state", rcl.Outgoing[sensor_msgs.CBatteryState](sensor_msgs.BatteryStateTypeSupport), rcl.Latched(1))
	add(&m.estop, "emergency_stop_state", rcl.Outgoing[robot_msgs.CEmergencyStopState](robot_msgs.EmergencyStopStateTypeSupport), rcl.Latched(1))
	add(&m.dock, "docked", rcl.Outgoing[std_msgs.CBool](std_msgs.BoolTypeSupport), rcl.Latched(1))
	add(&m.diagnostics, "/diagnostics", rcl.Outgoing[diagnostic_msgs.CDiagnosticArray](diagnostic_msgs.DiagnosticArrayTypeSupport), rcl.Reliable(10))
	if err := errors.Join(errs...); err != nil {
		return mouth{}, errors.Join(err, m.shut())
	}
	return m, nil
}

// mouth is the topics while the firmware runs, and when each was last used.
type mouth struct {
	odometry, battery, estop, dock, diagnostics *rcl.Publisher
	all                                         []*rcl.Publisher

	stateAt, diagnosticsAt time.Time
	last                   robot.Sample
}

func (m *mouth) open() bool { return len(m.all) > 0 }

func (m *mouth) shut() error {
	var errs []error
	for _, p := range m.all {
		errs = append(errs, p.Close())
	}
	*m = mouth{}
	return errors.Join(errs...)
}

// say publishes what is due of s and not muted.
func (m *mouth) say(s robot.Sample, now time.Time) error {
	due := now.Sub(m.stateAt) >= stateEvery
	batteryMoved := s.Battery.Charging != m.last.Battery.Charging || s.Battery.Unknown != m.last.Battery.Unknown ||
		math.Abs(s.Battery.Fraction-m.last.Battery.Fraction) > 0.005
	var errs []error
	for _, t := range []struct {
		name    string
		due     bool
		publish func() error
	}{
		{"odom", true, func() error { return m.odometry.Publish(odometry(s, now)) }},
		{"emergency_stop_state", due || s.EStop != m.last.EStop, func() error { return m.estop.Publish(estop(s, now)) }},
		{"battery_state", due || batteryMoved, func() error {
			m.last.Battery = s.Battery
			return m.battery.Publish(battery(s, now))
		}},
		{"docked", due || s.Around.Docked != m.last.Around.Docked, func() error { return m.dock.Publish(dock(s)) }},
		{"diagnostics", now.Sub(m.diagnosticsAt) >= diagnosticsEvery, func() error {
			m.diagnosticsAt = now
			return m.diagnostics.Publish(diagnostics(s, now))
		}},
	} {
		if t.due && !s.Around.Mutes(t.name) {
			errs = append(errs, t.publish())
		}
	}
	if due {
		m.stateAt = now
	}
	m.last.EStop, m.last.Around.Docked = s.EStop, s.Around.Docked
	return errors.Join(errs...)
}

func dock(s robot.Sample) *std_msgs.Bool {
	m := std_msgs.NewBool()
	m.Data = s.Around.Docked
	return m
}

func odometry(s robot.Sample, now time.Time) *nav_msgs.Odometry {
	m := nav_msgs.NewOdometry()
	m.Header.Stamp, m.Header.FrameId, m.ChildFrameId = stamp(now), "odom", "base_link"
	m.Pose.Pose.Orientation.W = 1
	m.Twist.Twist.Linear.X, m.Twist.Twist.Angular.Z = s.Odometry.Linear, s.Odometry.Angular
	return m
}

// The values of power_supply_status that occur.
const (
	powerCharging    = 1
	powerDischarging = 2
)

func battery(s robot.Sample, now time.Time) *sensor_msgs.BatteryState {
	m := sensor_msgs.NewBatteryState()
	nan := float32(math.NaN())
	m.Header.Stamp = stamp(now)
	m.Voltage, m.Percentage, m.Present = float32(s.Battery.Voltage), float32(s.Battery.Fraction), true
	if s.Battery.Unknown {
		m.Percentage = nan
	}
	m.Temperature, m.Current, m.Charge, m.Capacity, m.DesignCapacity = nan, nan, nan, nan, nan
	m.PowerSupplyStatus = powerDischarging
	if s.Battery.Charging {
		m.PowerSupplyStatus = powerCharging
	}
	return m
}

func estop(s robot.Sample, now time.Time) *robot_msgs.EmergencyStopState {
	m := robot_msgs.NewEmergencyStopState()
	m.Header.Stamp = stamp(now)
	m.Stopped, m.State, m.Reason = s.EStop.Stopped, s.EStop.State, s.EStop.Reason
	return m
}

func diagnostics(s robot.Sample, now time.Time) *diagnostic_msgs.DiagnosticArray {
	m := diagnostic_msgs.NewDiagnosticArray()
	m.Header.Stamp = stamp(now)
	for _, d := range s.Diagnostics {
		row := diagnostic_msgs.DiagnosticStatus{Level: d.Level, Name: d.Name, Message: d.Message, HardwareId: "esp32s3"}
		for _, v := range d.Values {
			row.Values = append(row.Values, diagnostic_msgs.KeyValue{Key: v.Key, Value: v.Value})
		}
		m.Status = append(m.Status, row)
	}
	return m
}

func stamp(t time.Time) (m builtin_interfaces.Time) {
	m.Sec, m.Nanosec = int32(t.Unix()), uint32(t.Nanosecond())
	return m
}
