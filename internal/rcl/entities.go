//go:build ros2

package rcl

// #include <stdlib.h>
import "C"

import (
	"unsafe"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"
)

// Reliable keeps the last depth messages and delivers each.
func Reliable(depth int) rclgo.QosProfile {
	q := rclgo.NewDefaultQosProfile()
	q.Depth = depth
	return q
}

// Latched is Reliable and also gives late subscribers the last depth messages
// (transient local).
func Latched(depth int) rclgo.QosProfile {
	q := Reliable(depth)
	q.Durability = rclgo.DurabilityTransientLocal
	return q
}

// BestEffort loses a message rather than wait. A subscription with it hears
// reliable publishers too.
func BestEffort(depth int) rclgo.QosProfile {
	q := Reliable(depth)
	q.Reliability = rclgo.ReliabilityBestEffort
	return q
}

// outgoing is the type support of a message that is sent, C being the
// message's struct. rclgo asks for memory and then writes every field; memory
// that the generated code has initialized by then holds empty strings, whose
// pointers are overwritten and lost. Zeroed memory holds none. It is released
// by the generated code, whose allocator is malloc's.
type outgoing struct {
	types.MessageTypeSupport
	size C.size_t
}

// Outgoing makes ts fit for sending; M is the message's C struct, the type
// that the bindings export as C<Message>.
func Outgoing[M any](ts types.MessageTypeSupport) types.MessageTypeSupport {
	var m M
	return outgoing{ts, C.size_t(unsafe.Sizeof(m))}
}

// PrepareMemory returns zeroed memory for one message.
func (o outgoing) PrepareMemory() unsafe.Pointer {
	return C.calloc(1, max(o.size, 1))
}

// Publisher of one topic.
type Publisher struct {
	node  *Node
	pub   *rclgo.Publisher
	topic string
}

// Publisher declares a topic; ts is made by Outgoing.
func (n *Node) Publisher(topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile) (*Publisher, error) {
	p := &Publisher{node: n, topic: topic}
	err := n.guard("publish "+topic, func() (err error) {
		p.pub, err = n.node.NewPublisher(topic, ts, &rclgo.PublisherOptions{Qos: qos})
		return err
	})
	return p, err
}

// Publish sends m, which is copied.
func (p *Publisher) Publish(m types.Message) error {
	return p.node.guard("publish "+p.topic, func() error { return p.pub.Publish(m) })
}

// Close takes the topic off the graph, and what late subscribers would have
// been given of it. Nobody may be publishing.
func (p *Publisher) Close() error {
	return p.node.guard("close "+p.topic, p.pub.Close)
}

// Subscribe declares that f is called by Spin with every message on the topic;
// T is the message type and ts its type support. f must return at once.
// The message is f's for that long. Messages that cannot be taken are reported
// to lost.
func Subscribe[T any, M interface {
	*T
	types.Message
}](n *Node, topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile, f func(M), lost func(error)) error {
	return n.subscribe(&n.prompt, topic, ts, qos, taker(n, topic, f, lost))
}

func (n *Node) subscribe(into *inbox, topic string, ts types.MessageTypeSupport, qos rclgo.QosProfile, draw func(*spout) bool) error {
	return n.guard("subscribe to "+topic, func() error {
		sub, err := n.node.NewSubscription(topic, ts, &rclgo.SubscriptionOptions{Qos: qos}, nil)
		if err != nil {
			return err
		}
		s, err := newSpout(sub, ts)
		if err != nil {
			return err
		}
		if err := into.add(s, draw); err != nil {
			s.close()
			return err
		}
		return nil
	})
}

// taker takes one message and says whether there was one.
func taker[T any, M interface {
	*T
	types.Message
}](n *Node, topic string, f func(M), lost func(error)) func(*spout) bool {
	m := M(new(T)) // taken one by one
	return func(s *spout) (was bool) {
		*m = *new(T)
		err := n.guard("take a message from "+topic, func() (err error) {
			was, err = s.take(m)
			return err
		})
		if err != nil {
			lost(err)
		}
		if was {
			f(m)
		}
		return was
	}
}

// service is a service's type support with an outgoing response.
type service struct {
	types.ServiceTypeSupport
	response types.MessageTypeSupport
}

func (s service) Response() types.MessageTypeSupport { return s.response }

// Service declares that f is called by Spin with every request, M being the
// response's C struct. f must return at once; answer may be called later, once,
// from any goroutine.
func Service[M any](n *Node, name string, ts types.ServiceTypeSupport, f func(request types.Message, answer func(types.Message) error)) error {
	ts = service{ts, Outgoing[M](ts.Response())}
	return n.guard("serve "+name, func() error {
		s, err := n.node.NewService(name, ts, nil, func(_ *rclgo.ServiceInfo, request types.Message, sender rclgo.ServiceResponseSender) {
			f(request, func(response types.Message) error {
				return n.guard("answer "+name, func() error { return sender.SendResponse(response) })
			})
		})
		if err == nil {
			n.set.AddServices(s)
		}
		return err
	})
}
