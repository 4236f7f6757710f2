//go:build ros2

package rosnode

import (
	"errors"
	"time"

	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"
	geometry_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/geometry_msgs/msg"
	nav_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/nav_msgs/msg"
	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"
	sensor_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/sensor_msgs/msg"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// motionEvery is how often motion that does not grow is posted; odometry comes
// at 50 Hz.
const motionEvery = 100 * time.Millisecond

// subscribe declares what the node hears. The qualities of service are the
// robot's publishers': battery and emergency stop reliable and latched, so
// that a fresh agent knows them at once; odometry best effort. Commands are
// asked for as best effort, which hears publishers of either kind.
func (n *Node) subscribe(node *rcl.Node) error {
	t := n.cfg.Topics
	return errors.Join(
		rcl.Subscribe(node, t.Battery, sensor_msgs.BatteryStateTypeSupport, rcl.Latched(1), n.onBattery, n.complain),
		rcl.Subscribe(node, t.EStop, robot_msgs.EmergencyStopStateTypeSupport, rcl.Latched(1), n.onEStop, n.complain),
		rcl.Subscribe(node, t.Odom, nav_msgs.OdometryTypeSupport, rcl.BestEffort(5), n.onOdometry(), n.complain),
		rcl.Subscribe(node, t.CmdVel, geometry_msgs.TwistTypeSupport, rcl.BestEffort(5), n.onCommand(), n.complain),
		rcl.Subscribe(node, t.Diagnostics, diagnostic_msgs.DiagnosticArrayTypeSupport, rcl.Reliable(20), n.onDiagnostics, n.complain),
	)
}

func (n *Node) onBattery(m *sensor_msgs.BatteryState) {
	n.board.Post(battery(m.Percentage, m.PowerSupplyStatus, time.Now()))
}

func (n *Node) onEStop(m *robot_msgs.EmergencyStopState) {
	n.board.Post(estop(m.Stopped, m.State, m.Reason, time.Now()))
}

func (n *Node) onOdometry() func(*nav_msgs.Odometry) {
	t := thinner{every: motionEvery}
	return func(m *nav_msgs.Odometry) {
		if v, ok := t.thin(twist(m.Twist.Twist, time.Now())); ok {
			n.board.Post(robot.Odometry(v))
		}
	}
}

func (n *Node) onCommand() func(*geometry_msgs.Twist) {
	t := thinner{every: motionEvery}
	return func(m *geometry_msgs.Twist) {
		if v := twist(*m, time.Now()); t.pass(v) {
			n.board.Post(robot.Command(v))
		}
	}
}

func twist(m geometry_msgs.Twist, now time.Time) robot.Motion {
	return motion([3]float64{m.Linear.X, m.Linear.Y, m.Linear.Z}, [3]float64{m.Angular.X, m.Angular.Y, m.Angular.Z}, now)
}

func (n *Node) onDiagnostics(m *diagnostic_msgs.DiagnosticArray) {
	now := time.Now()
	for i := range m.Status[:min(len(m.Status), maxStatuses)] {
		d := &m.Status[i]
		if len(d.Name) > maxName || !n.intake.concerns(d.Name) {
			continue
		}
		observed, err := n.intake.diagnostic(bounded(d), now)
		n.complain(err)
		for _, o := range observed {
			n.board.Post(o)
		}
	}
}

// bounded copies what is kept of a DiagnosticStatus.
func bounded(d *diagnostic_msgs.DiagnosticStatus) status {
	s := status{name: d.Name, message: cut(d.Message, maxString), level: d.Level}
	s.values = make(map[string]string, min(len(d.Values), maxValues))
	for _, v := range d.Values[:min(len(d.Values), maxValues)] {
		if len(v.Key) <= maxName {
			s.values[v.Key] = cut(v.Value, maxString)
		}
	}
	return s
}
