//go:build ros2

package rosnode

import (
	"errors"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"

	diagnostic_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/diagnostic_msgs/msg"
	geometry_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/geometry_msgs/msg"
	nav_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/nav_msgs/msg"
	robot_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/robot_interfaces/msg"
	sensor_msgs "github.com/robot-platform/robot-ota/internal/rosmsgs/sensor_msgs/msg"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// Motion comes at 50 Hz and more; it is taken in batches and posted with each,
// where it does not grow.
const (
	motionEvery = rcl.BatchEvery
	// motionDepth is how many messages wait: none is lost up to 320 Hz.
	motionDepth = 64
)

// subscription is what the node hears on one topic, and how it asks for it.
type subscription struct {
	role robot.Role
	name string // as configured
	kind string // of its messages
	qos  rclgo.QosProfile
}

// subscriptions are the node's. The qualities of service are the robot's
// publishers': battery and emergency stop reliable and latched, so that a fresh
// agent knows them at once; odometry best effort. Commands are asked for as
// best effort, which hears publishers of either kind.
func (n *Node) subscriptions() []subscription {
	t := n.cfg.Topics
	all := []subscription{
		{robot.BatteryRole, t.Battery, "sensor_msgs/msg/BatteryState", rcl.Latched(1)},
		{robot.EStopRole, t.EStop, "robot_interfaces/msg/EmergencyStopState", rcl.Latched(1)},
		{robot.OdomRole, t.Odom, "nav_msgs/msg/Odometry", rcl.BestEffort(motionDepth)},
		{robot.CmdVelRole, t.CmdVel, "geometry_msgs/msg/Twist", rcl.BestEffort(motionDepth)},
		{robot.DiagnosticsRole, t.Diagnostics, "diagnostic_msgs/msg/DiagnosticArray", rcl.Reliable(20)},
	}
	if t.Dock != "" {
		all = append(all, subscription{robot.DockRole, t.Dock, "std_msgs/msg/Bool", rcl.BestEffort(1)})
	}
	return all
}

// subscribe declares what the node hears.
func (n *Node) subscribe(node *rcl.Node) error {
	var errs []error
	for _, s := range n.subscriptions() {
		switch s.role {
		case robot.BatteryRole:
			errs = append(errs, rcl.Subscribe(node, s.name, sensor_msgs.BatteryStateTypeSupport, s.qos, n.onBattery, n.complain))
		case robot.EStopRole:
			errs = append(errs, rcl.Subscribe(node, s.name, robot_msgs.EmergencyStopStateTypeSupport, s.qos, n.onEStop, n.complain))
		case robot.OdomRole:
			errs = append(errs, rcl.SubscribeInBatches(node, s.name, nav_msgs.OdometryTypeSupport, s.qos, n.onOdometry(), n.complain))
		case robot.CmdVelRole:
			errs = append(errs, rcl.SubscribeInBatches(node, s.name, geometry_msgs.TwistTypeSupport, s.qos, n.onCommand(), n.complain))
		case robot.DiagnosticsRole:
			errs = append(errs, rcl.Subscribe(node, s.name, diagnostic_msgs.DiagnosticArrayTypeSupport, s.qos, n.onDiagnostics, n.complain))
		case robot.DockRole:
			errs = append(errs, n.subscribeDock(node, s))
		}
	}
	return errors.Join(errs...)
}

func (n *Node) onBattery(m *sensor_msgs.BatteryState) {
	now := time.Now()
	n.ears.hear(robot.BatteryRole, now)
	n.board.Post(battery(m.Percentage, m.PowerSupplyStatus, now))
}

func (n *Node) onEStop(m *robot_msgs.EmergencyStopState) {
	now := time.Now()
	n.ears.hear(robot.EStopRole, now)
	n.board.Post(estop(m.Stopped, m.State, m.Reason, now))
}

func (n *Node) onOdometry() func(*nav_msgs.Odometry) {
	t := thinner{every: motionEvery}
	return func(m *nav_msgs.Odometry) {
		now := time.Now()
		n.ears.hear(robot.OdomRole, now)
		if v, ok := t.thin(twist(m.Twist.Twist, now)); ok {
			n.board.Post(robot.Odometry(v))
		}
	}
}

func (n *Node) onCommand() func(*geometry_msgs.Twist) {
	t := thinner{every: motionEvery}
	return func(m *geometry_msgs.Twist) {
		now := time.Now()
		n.ears.hear(robot.CmdVelRole, now)
		if v := twist(*m, now); t.pass(v) {
			n.board.Post(robot.Command(v))
		}
	}
}

func twist(m geometry_msgs.Twist, now time.Time) robot.Motion {
	return motion([3]float64{m.Linear.X, m.Linear.Y, m.Linear.Z}, [3]float64{m.Angular.X, m.Angular.Y, m.Angular.Z}, now)
}

func (n *Node) onDiagnostics(m *diagnostic_msgs.DiagnosticArray) {
	now := time.Now()
	n.ears.hear(robot.DiagnosticsRole, now)
	ours := 0
	for i := range m.Status[:min(len(m.Status), maxStatuses)] {
		d := &m.Status[i]
		if len(d.Name) > maxName || !n.intake.concerns(d.Name) {
			if id, other := n.intake.stranger(d.Name); other {
				n.ears.stranger(id)
			}
			continue
		}
		s := bounded(d)
		s.beside = ours > 0
		ours++
		observed, err := n.intake.diagnostic(s, now)
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
