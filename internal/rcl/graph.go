//go:build ros2

package rcl

import (
	"path"
	"strings"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// Endpoint is another node's publisher of a topic, as the graph knows it.
type Endpoint struct {
	Node string // with its namespace
	Type string // sensor_msgs/msg/BatteryState
	qos  rclgo.QosProfile
}

// Publishers lists who publishes a topic, which is given by its full name.
func (n *Node) Publishers(topic string) ([]Endpoint, error) {
	var out []Endpoint
	err := n.guard("ask the graph for publishers of "+topic, func() error {
		infos, err := n.node.GetPublishersInfoByTopic(topic, true)
		for _, i := range infos {
			out = append(out, Endpoint{Node: path.Join(i.NodeNamespace, i.NodeName), Type: i.TopicType, qos: i.QosProfile})
		}
		return err
	})
	return out, err
}

// Subscribed is what the node itself listens to: full names by their types.
func (n *Node) Subscribed() (map[string]string, error) {
	byType := map[string]string{}
	err := n.guard("ask the graph for subscriptions", func() error {
		all, err := n.node.GetSubscriberNamesAndTypesByNode(true, n.node.Name(), n.node.Namespace())
		for name, types := range all {
			for _, t := range types {
				byType[t] = name
			}
		}
		return err
	})
	return byType, err
}

// Nodes counts the other nodes on the graph. Those that begin with an
// underscore are tools, such as the daemon of the ros2 command.
func (n *Node) Nodes() (int, error) {
	count := 0
	err := n.guard("ask the graph for nodes", func() error {
		names, spaces, err := n.node.GetNodeNames()
		for i, name := range names {
			if !strings.HasPrefix(name, "_") && path.Join(spaces[i], name) != n.FullName() {
				count++
			}
		}
		return err
	})
	return count, err
}

// Mismatch says why a subscription of that type and quality of service is not
// given what e publishes (the request-offered rule of DDS), "" where it is.
func (e Endpoint) Mismatch(kind string, asked rclgo.QosProfile) string {
	var why []string
	if e.Type != kind {
		why = append(why, "it publishes "+e.Type+", and "+kind+" is listened for")
	}
	if asked.Reliability == rclgo.ReliabilityReliable && e.qos.Reliability == rclgo.ReliabilityBestEffort {
		why = append(why, "it offers best effort, and reliable is asked for")
	}
	if asked.Durability == rclgo.DurabilityTransientLocal && e.qos.Durability == rclgo.DurabilityVolatile {
		why = append(why, "it offers volatile, and transient local is asked for")
	}
	return strings.Join(why, "; ")
}
