package robot

import "time"

// Hearing is how the robot's topics arrive at a ROS node.
type Hearing struct {
	Node   string    `json:"node"`   // with its namespace
	Domain string    `json:"domain"` // ROS_DOMAIN_ID as it was set, "0" where it was not
	Since  time.Time `json:"since"`  // it has been listening
	Topics []Topic   `json:"topics"`
	// Strangers are the ids of other robots whose diagnostics were heard, at
	// most MaxStrangers.
	Strangers []string `json:"strangers,omitempty"`
	// Others is how many other nodes are on the graph; -1: unknown.
	Others int `json:"others"`
}

// MaxStrangers bounds how many other robots are remembered by name.
const MaxStrangers = 8

// Role is what a topic is listened to for.
type Role string

// The roles of topics.
const (
	BatteryRole     Role = "battery"
	EStopRole       Role = "estop"
	OdomRole        Role = "odom"
	CmdVelRole      Role = "cmd_vel"
	DiagnosticsRole Role = "diagnostics"
	DockRole        Role = "dock" // listened to where a topic is named
)

// Roles lists them.
func Roles() []Role {
	return []Role{BatteryRole, EStopRole, OdomRole, CmdVelRole, DiagnosticsRole, DockRole}
}

// Topic is how one topic arrives.
type Topic struct {
	Role Role `json:"role"`
	// Name as it is on the graph, with namespace and remaps.
	Name  string    `json:"name"`
	Heard uint64    `json:"heard"` // messages
	Rate  float64   `json:"rate"`  // messages a second, of late
	At    time.Time `json:"at,omitzero"`
	// Publishers that the graph knows; nil with Unknown.
	Publishers []Publisher `json:"publishers,omitempty"`
	// Unknown says why the graph could not be asked; "": it was.
	Unknown string `json:"unknown,omitempty"`
}

// Publisher is a node that publishes a topic.
type Publisher struct {
	Node string `json:"node"`
	// Mismatch is why its messages do not arrive; "": they should.
	Mismatch string `json:"mismatch,omitempty"`
}

// Topic gives the topic of a role; false where it is not listened to.
func (h Hearing) Topic(r Role) (Topic, bool) {
	for _, t := range h.Topics {
		if t.Role == r {
			return t, true
		}
	}
	return Topic{}, false
}
