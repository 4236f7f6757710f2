package mqttfleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// session is one connection to the broker.
type session interface {
	// kept says that the broker knew the session from before.
	kept() bool
	// subscribe asks for what robots publish.
	subscribe(ctx context.Context) error
	// publish says something; what it returns waits until the broker has it.
	publish(ctx context.Context, topic string, payload []byte) (wait func() error)
	// lost is closed when the connection is gone; why then tells.
	lost() <-chan struct{}
	why() error
	close()
}

var errRefused = errors.New("the broker refuses the subscription: its access rules must let the fleet's user read fleet/+/ota/# and fleet/+/diagnostics")

// subscription is a filter and its quality of service.
type subscription struct {
	filter string
	qos    byte
}

// subscriptions are made one by one: see mqttframe. Health and diagnostics are
// not kept for a server that is away, because their next says all, and would
// push out what is said once.
func subscriptions() []subscription {
	return []subscription{
		{"fleet/+/ota/event", 1}, {"fleet/+/ota/status", 1}, {"fleet/+/ota/online", 1},
		{"fleet/+/ota/health", 0}, {"fleet/+/diagnostics", 0},
	}
}

// brokerSession is a session with a broker.
type brokerSession struct{ line *mqttline.Line }

// session connects. The messages of the broker go to arrived, which may block.
func (d *dialer) session(ctx context.Context, arrived func(delivery)) (session, error) {
	password, err := d.password()
	if err != nil {
		return nil, err
	}
	o := mqttline.Options(d.id, d.cfg.Username, password, d.cfg.KeepAlive).
		SetCleanSession(false).SetOrderMatters(true).SetAutoAckDisabled(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { arrived(deliver(m, d.cfg.Now())) })
	line, err := mqttline.Connect(ctx, d.addr, d.dial, o)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker %s: %w", d.addr, err)
	}
	return brokerSession{line}, nil
}

func deliver(m mqtt.Message, now time.Time) delivery {
	d := delivery{Message: Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Received: now}}
	if m.Qos() > 0 {
		d.ack = m.Ack
	}
	return d
}

func (s brokerSession) kept() bool            { return s.line.Kept() }
func (s brokerSession) lost() <-chan struct{} { return s.line.Lost() }
func (s brokerSession) why() error            { return s.line.Why() }
func (s brokerSession) close()                { s.line.Close() }

func (s brokerSession) subscribe(ctx context.Context) error {
	for _, f := range subscriptions() {
		err := s.line.Subscribe(ctx, f.filter, f.qos)
		if errors.Is(err, mqttline.ErrRefused) {
			err = errRefused
		}
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", f.filter, err)
		}
	}
	return nil
}

func (s brokerSession) publish(ctx context.Context, topic string, payload []byte) func() error {
	return s.line.Publish(ctx, topic, false, payload)
}
