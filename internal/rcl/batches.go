//go:build ros2

package rcl

import (
	"context"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"
)

// BatchEvery is how often the messages of SubscribeInBatches are taken.
const BatchEvery = 200 * time.Millisecond

// batches are the subscriptions whose messages are taken some times a second,
// all that have come at once. What a wait set costs is paid each time that it
// wakes, whatever it wakes for: threads are switched, every entity is attached
// and detached, and Go's monitor of threads begins to poll.
type batches struct {
	set  *rclgo.WaitSet // nil: there are none
	take []func() bool  // one message of each subscription, false when there is none
	most int            // messages that the middleware keeps of one
}

// SubscribeInBatches is Subscribe for a topic of many messages a second. The
// first message after a silence is taken at once, those that follow together,
// BatchEvery later; the middleware keeps the last qos.Depth of them, so that
// qos.Depth in BatchEvery arrive. Spin calls f on a second thread, beside other
// callbacks.
func SubscribeInBatches[T any, M interface {
	*T
	types.Message
}](n *Node, topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile, f func(M), lost func(error)) error {
	return n.guard("subscribe to "+topic, func() (err error) {
		if n.batches.set == nil {
			if n.batches.set, err = n.ctx.NewWaitSet(); err != nil {
				return err
			}
		}
		sub, err := n.node.NewSubscription(topic, ts, &rclgo.SubscriptionOptions{Qos: qos}, nil)
		if err != nil {
			return err
		}
		n.batches.set.AddSubscriptions(sub)
		take := taker(topic, f, lost)
		n.batches.take = append(n.batches.take, func() bool { return take(sub) })
		n.batches.most = max(n.batches.most, qos.Depth)
		return nil
	})
}

// run takes batches until ctx ends. Whichever subscription woke it, it takes
// from all.
func (b batches) run(ctx context.Context) error {
	rest := time.NewTimer(BatchEvery)
	defer rest.Stop()
	for _, sub := range b.set.Subscriptions {
		sub.Callback = func(*rclgo.Subscription) {
			b.takeAll()
			rest.Reset(BatchEvery)
			select {
			case <-rest.C:
			case <-ctx.Done():
			}
		}
	}
	return b.set.Run(ctx)
}

func (b batches) takeAll() {
	for _, take := range b.take {
		for range b.most {
			if !take() {
				break
			}
		}
	}
}
