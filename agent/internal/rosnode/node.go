//go:build ros2

package rosnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/internal/rcl"
)

// How much may wait for the Agent, and how long it may take.
const (
	commandsWaiting = 64
	commandsWithin  = 10 * time.Second
	plansWaiting    = 8
	plansWithin     = 30 * time.Second
	workers         = 2 // of each lane
	// patience is how long the end of the node waits for the Agent to answer
	// what it was asked last.
	patience = time.Second
)

// Node is the agent's ROS 2 node.
type Node struct {
	cfg   Config
	agent Agent
	board Board
	log   *slog.Logger

	params    *parameters
	given     []override
	intake    intake
	ears      *ears
	graph     graph
	goals     goals
	commands  *lane // what changes something
	plans     *lane // what only asks, and may ask a server
	complains *complaints
}

// New checks the configuration and the ROS arguments; Run does the rest.
// Errors are ErrSimTime and ErrArgs.
func New(cfg Config, agent Agent, board Board, log *slog.Logger) (*Node, error) {
	cfg = cfg.filled()
	if cfg.RobotID == "" {
		return nil, errors.New("the node needs the robot's id: it is part of the names of diagnostics")
	}
	given, err := overrides(cfg.Args)
	if err != nil {
		return nil, err
	}
	if err := simTime(given); err != nil {
		return nil, err
	}
	params, err := newParameters(cfg.Parameters)
	if err != nil {
		return nil, err
	}
	return &Node{
		cfg: cfg, agent: agent, board: board, log: log, params: params, given: given, intake: newIntake(cfg), ears: newEars(),
		commands:  newLane(commandsWaiting, commandsWithin),
		plans:     newLane(plansWaiting, plansWithin),
		complains: &complaints{log: log},
	}, nil
}

// Run is the node's life; it is called once, and returns when ctx ends or ROS
// fails.
func (n *Node) Run(ctx context.Context) (err error) {
	node, err := rcl.Open(n.cfg.Name, n.cfg.Namespace, n.cfg.Args)
	if err != nil {
		return fmt.Errorf("ROS 2 node: %w", err)
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	unknown, err := n.params.start(n.given, node.FullName())
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		n.log.Warn("ROS arguments set parameters that this node does not have", "parameters", unknown)
	}
	out, err := n.declare(ctx, node)
	if err != nil {
		return fmt.Errorf("ROS 2 node: %w", err)
	}
	n.graph.open(node, time.Now())
	defer n.graph.close()
	n.log.Info("ROS node is up", "node", node.FullName())
	return n.live(ctx, node, out)
}

// declare puts everything on the graph.
func (n *Node) declare(ctx context.Context, node *rcl.Node) (*outlets, error) {
	out, err := newOutlets(node, n.cfg)
	if err != nil {
		return nil, err
	}
	return out, errors.Join(n.subscribe(node), n.serve(ctx, node), n.serveAction(ctx, node, out), n.serveParameters(ctx, node))
}

// live runs the node's goroutines and waits for their end.
func (n *Node) live(ctx context.Context, node *rcl.Node, out *outlets) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var inner, calls sync.WaitGroup
	n.commands.start(ctx, &calls, workers)
	n.plans.start(ctx, &calls, workers)
	inner.Go(func() { n.publish(ctx, out) })
	err := node.Spin(ctx)
	cancel()
	inner.Wait()
	await(&calls, patience, n.log)
	if n.goals.abandon(n.agent.Status(), time.Now()) {
		<-time.After(farewell)
	}
	return err
}

// farewell is how long last answers are given to arrive. A node that ends takes
// with it what clients on a busy computer have not fetched from its memory yet,
// and the middleware does not say when they have.
const farewell = 500 * time.Millisecond

// await gives calls into the Agent a while to end. One that does not is left
// behind: its answer will find the node closed.
func await(calls *sync.WaitGroup, patience time.Duration, log *slog.Logger) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		calls.Wait()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		log.Warn("the ROS node ends while the agent still works on a request")
	}
}

// publish keeps the graph up to date with the Agent until ctx ends.
func (n *Node) publish(ctx context.Context, out *outlets) {
	news, stop := n.agent.News()
	defer stop()
	look := func() {
		if n.goals.settle(n.agent.Status, time.Now()) {
			n.complain(out.goals(n.goals.entries()))
		}
	}
	tell := func() {
		s := n.agent.Status()
		n.complain(out.status(s, time.Now()))
		for _, id := range n.goals.tell(s) {
			n.complain(out.feedback(id, s))
		}
	}
	pulse := func() {
		n.complain(out.diagnostics(n.agent.Status(), time.Now()))
		if n.goals.expire(time.Now()) {
			n.complain(out.goals(n.goals.entries()))
		}
	}
	beat(ctx, news, look, tell, pulse)
}

func (n *Node) complain(err error) { n.complains.about(err) }
