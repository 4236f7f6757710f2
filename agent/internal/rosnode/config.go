package rosnode

import (
	"context"
	"errors"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// DefaultName is the node's name unless a remap says otherwise.
const DefaultName = "ota_agent"

// Errors of New.
var (
	// ErrNoROS is what an agent built without ROS 2 has instead of a node.
	ErrNoROS = errors.New("this build has no ROS 2: build with -tags ros2 in a sourced ROS 2 environment")
	// ErrSimTime refuses use_sim_time.
	ErrSimTime = errors.New("use_sim_time is not for this node: batteries, trials and flash chips live in real time; start it without")
	// ErrArgs is wrapped by what else is wrong with the ROS arguments.
	ErrArgs = errors.New("ROS arguments")
)

// Updater starts and ends jobs. An error is a refusal, in words for people.
type Updater interface {
	Trigger(ctx context.Context, r update.Request) (jobID string, err error)
	Cancel(ctx context.Context) error
	Rollback(ctx context.Context, reason string, origin update.Origin) (jobID string, err error)
}

// Planner says what a request would do.
type Planner interface {
	Plan(ctx context.Context, r update.Request) (update.Plan, error)
}

// Inhibitor leases "not now"; a lease of 0 releases.
type Inhibitor interface {
	Inhibit(ctx context.Context, owner, reason string, lease time.Duration) error
}

// Reporter says how things stand, and wakes who wants to know of changes.
type Reporter interface {
	Status() update.Status
	News() (news <-chan struct{}, stop func())
}

// Agent is what the node speaks for.
type Agent interface {
	Updater
	Planner
	Inhibitor
	Reporter
}

// Board takes what is heard of the robot. Post must return at once.
type Board interface {
	Post(o robot.Observation)
}

// Config of the node.
type Config struct {
	RobotID string
	// Version of the agent, for its own diagnostics.
	Version string
	// Name and Namespace of the node; "": DefaultName in the root. Remaps in
	// Args come first.
	Name, Namespace string
	// Args is the command line; what stands between --ros-args and -- counts.
	Args   []string
	Topics Topics
	// FirmwareStatus is the name of the firmware's own DiagnosticStatus, Keys
	// the names of its values.
	FirmwareStatus string
	// SystemStatus is another DiagnosticStatus in which it may tell of its
	// Conditions.
	SystemStatus string
	Keys         robot.Keys
	// Parameters are served as the node's own.
	Parameters []Parameter
	// Vitals are further values of the agent's own diagnostics; nil: none. It
	// is asked once a second and must return at once.
	Vitals func() []Vital
	// Warnings make the agent's own diagnostics a WARN; nil: none. It is asked
	// as Vitals is.
	Warnings func() []string
}

// Vital is a value of the agent's own diagnostics.
type Vital struct{ Key, Value string }

// Topics of the robot. Names without a leading slash follow the namespace.
type Topics struct {
	Battery, EStop, Odom, CmdVel, Diagnostics string
	// Dock is a std_msgs/Bool; "": there is none.
	Dock string
}

// DefaultTopics are the fleet's.
func DefaultTopics() Topics {
	return Topics{
		Battery: "battery_state", EStop: "emergency_stop_state", Odom: "odom", CmdVel: "cmd_vel",
		Diagnostics: "/diagnostics",
	}
}

// filled is c with defaults where nothing was said.
func (c Config) filled() Config {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.FirmwareStatus == "" {
		c.FirmwareStatus = c.RobotID + "/firmware"
	}
	if c.SystemStatus == "" {
		c.SystemStatus = c.RobotID + "/system"
	}
	if c.Keys == (robot.Keys{}) {
		c.Keys = robot.DefaultKeys()
	}
	d := DefaultTopics()
	for _, t := range []struct{ name, otherwise *string }{
		{&c.Topics.Battery, &d.Battery},
		{&c.Topics.EStop, &d.EStop},
		{&c.Topics.Odom, &d.Odom},
		{&c.Topics.CmdVel, &d.CmdVel},
		{&c.Topics.Diagnostics, &d.Diagnostics},
	} {
		if *t.name == "" {
			*t.name = *t.otherwise
		}
	}
	return c
}

// ownStatus is the name of the agent's own DiagnosticStatus.
func (c Config) ownStatus() string { return c.RobotID + "/" + DefaultName }
