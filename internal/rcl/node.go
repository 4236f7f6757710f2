//go:build ros2

package rcl

// #include <rcutils/error_handling.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// Node is one ROS 2 node with a context and a wait set of its own. What it
// serves and subscribes to is declared between Open and Spin; publishing and
// answering may be done from any goroutine until Close.
type Node struct {
	args    *rclgo.Args // rcl reads them until the context is gone
	ctx     *rclgo.Context
	node    *rclgo.Node
	set     *rclgo.WaitSet
	prompt  inbox
	batches inbox

	mu     sync.RWMutex // held for reading while rcl sends
	closed bool
}

// Open makes a node. args is a command line; what stands between --ros-args
// and -- is rcl's, remaps of name and namespace among it. The domain is
// ROS_DOMAIN_ID's.
func Open(name, namespace string, args []string) (n *Node, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n = &Node{batches: inbox{rest: BatchEvery}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	quiet := []string{"--ros-args", "--disable-external-lib-logs", "--"}
	if n.args, _, err = rclgo.ParseArgs(append(quiet, args...)); err != nil {
		return n, tidy("ROS arguments", err)
	}
	if n.ctx, err = rclgo.NewContext(rclgo.ClockTypeSystemTime, n.args); err != nil {
		return n, tidy("start ROS", err)
	}
	if n.node, err = n.ctx.NewNode(name, namespace); err != nil {
		return n, tidy(fmt.Sprintf("node %q in namespace %q", name, namespace), err)
	}
	if n.set, err = n.ctx.NewWaitSet(); err != nil {
		return n, tidy("wait set", err)
	}
	return n, nil
}

// FullName of the node, namespace included, after remapping.
func (n *Node) FullName() string { return n.node.FullyQualifiedName() }

// Spin runs the callbacks until ctx ends: those of services on one thread one
// after the other, and beside them, one after the other, those of Subscribe
// and those of SubscribeInBatches.
func (n *Node) Spin(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var errs [2]error
	var others sync.WaitGroup
	for k, i := range []*inbox{&n.prompt, &n.batches} {
		if i.end != nil {
			others.Go(func() {
				defer cancel() // without it the node is deaf
				errs[k] = i.run(ctx)
			})
		}
	}
	err := onThread(ctx, n.set.Run)
	cancel()
	others.Wait()
	return errors.Join(err, errs[0], errs[1])
}

// onThread waits for ROS on one thread.
func onThread(ctx context.Context, wait func(context.Context) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := wait(ctx)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end that was asked for
	}
	return tidy("wait for ROS", err)
}

// Close takes the node off the graph and ends rcl. Spin must have returned.
func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var errs []error
	errs = append(errs, n.prompt.close(), n.batches.close())
	if n.set != nil {
		errs = append(errs, tidy("close the wait set", n.set.Close()))
	}
	if n.node != nil {
		errs = append(errs, tidy("close the node", n.node.Close()))
	}
	if n.ctx != nil {
		errs = append(errs, tidy("end ROS", n.ctx.Close()))
	}
	runtime.KeepAlive(n.args)
	return errors.Join(errs...)
}

// guard runs a call into rcl on one thread, and not after Close.
func (n *Node) guard(op string, call func() error) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return fmt.Errorf("%s: %w", op, ErrClosed)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return tidy(op, call())
}

// Error is a failure of rcl.
type Error struct {
	Op   string // what was tried
	Text string // rcl's own words
	err  error
}

// Error says what was tried and what rcl says of it, in one line.
func (e *Error) Error() string { return e.Op + ": " + e.Text }

// Unwrap returns rclgo's error.
func (e *Error) Unwrap() error { return e.err }

// tidy keeps the first line of rclgo's error, without the stack trace behind
// it, and clears what rcl remembers of it on this thread.
func tidy(op string, err error) error {
	if err == nil {
		return nil
	}
	C.rcutils_reset_error()
	text, _, _ := strings.Cut(err.Error(), "\n")
	if _, rest, found := strings.Cut(text, "] "); found && strings.HasPrefix(text, "[*rclgo.") {
		text = rest
	}
	return &Error{Op: op, Text: strings.TrimSpace(text), err: err}
}
