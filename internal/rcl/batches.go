//go:build ros2

package rcl

import (
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"
)

// BatchEvery is how often the messages of SubscribeInBatches are taken.
const BatchEvery = 200 * time.Millisecond

// SubscribeInBatches is Subscribe for a topic of many messages a second, which
// wake nobody one by one. The first message after a silence is taken at once,
// those that follow together, BatchEvery later; the middleware keeps the last
// qos.Depth of them, so that qos.Depth in BatchEvery arrive. Spin calls f beside
// other callbacks.
func SubscribeInBatches[T any, M interface {
	*T
	types.Message
}](n *Node, topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile, f func(M), lost func(error)) error {
	return n.subscribe(&n.batches, topic, ts, qos, taker(n, topic, f, lost))
}
