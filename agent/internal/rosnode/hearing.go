//go:build ros2

package rosnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/internal/rcl"
)

// graph is the ROS graph as the node sees it, while it runs.
type graph struct {
	mu    sync.Mutex
	node  *rcl.Node
	since time.Time
}

func (g *graph) open(n *rcl.Node, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.node, g.since = n, now
}

func (g *graph) close() { g.open(nil, time.Time{}) }

// Hearing is how the robot's topics arrive; false while the node is not up.
func (n *Node) Hearing() (robot.Hearing, bool) {
	n.graph.mu.Lock()
	defer n.graph.mu.Unlock()
	node := n.graph.node
	if node == nil {
		return robot.Hearing{}, false
	}
	h := robot.Hearing{Node: node.FullName(), Domain: cmp.Or(os.Getenv("ROS_DOMAIN_ID"), "0"), Since: n.graph.since}
	own, err := node.Subscribed()
	for _, s := range n.subscriptions() {
		h.Topics = append(h.Topics, topicOn(node, s, own, err))
	}
	if h.Others, err = node.Nodes(); err != nil {
		h.Others = -1
	}
	n.ears.fill(&h, time.Now())
	return h, true
}

// topicOn asks the graph for one topic. The node's own subscriptions, of which
// each has a type of its own, tell what namespace and remaps made of its name.
func topicOn(node *rcl.Node, s subscription, own map[string]string, err error) robot.Topic {
	t := robot.Topic{Role: s.role, Name: s.name}
	full, known := own[s.kind]
	if err == nil && !known {
		err = errors.New("the graph does not know this node's own subscription yet")
	}
	var all []rcl.Endpoint
	if err == nil {
		t.Name = full
		all, err = node.Publishers(full)
	}
	if err != nil {
		t.Unknown = err.Error()
		return t
	}
	for _, e := range all {
		if e.Node != node.FullName() { // the agent's own diagnostics
			t.Publishers = append(t.Publishers, robot.Publisher{Node: e.Node, Mismatch: e.Mismatch(s.kind, s.qos)})
		}
	}
	return t
}

// listenerName is the node of Listen.
const listenerName = "ota_doctor"

// Listen puts a node that only listens on the graph for a while, with the
// agent's ears, and returns how the robot's topics arrived there.
func Listen(ctx context.Context, cfg Config, board Board, span time.Duration, log *slog.Logger) (robot.Hearing, error) {
	cfg.Name = listenerName
	cfg = cfg.filled()
	given, err := overrides(cfg.Args)
	if err == nil {
		err = simTime(given)
	}
	if err != nil {
		return robot.Hearing{}, err
	}
	n := &Node{cfg: cfg, board: board, log: log, intake: newIntake(cfg), ears: newEars(), complains: &complaints{log: log}}
	// The first rule wins: what renames the agent's node must not rename this one to the same.
	quiet := []string{"--ros-args", "-r", "__node:=" + listenerName, "--disable-rosout-logs", "--log-level", "error", "--"}
	node, err := rcl.Open(cfg.Name, cfg.Namespace, append(quiet, cfg.Args...))
	if err != nil {
		return robot.Hearing{}, fmt.Errorf("ROS 2 node: %w", err)
	}
	if err := n.subscribe(node); err != nil {
		return robot.Hearing{}, errors.Join(err, node.Close())
	}
	n.graph.open(node, time.Now())
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	err = node.Spin(ctx)
	h, _ := n.Hearing()
	return h, errors.Join(err, node.Close())
}
