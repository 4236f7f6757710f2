package mqttlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// session is one connection to the broker, from its welcome to its end.
type session interface {
	// subscribe asks for the commands.
	subscribe(ctx context.Context) error
	// publish says something below fleet/{robot_id}/ and waits until the
	// broker has it.
	publish(ctx context.Context, topic string, retained bool, payload []byte) error
	// lost is closed when the connection is gone; why then tells.
	lost() <-chan struct{}
	why() error
	// close says goodbye to the broker.
	close()
}

// delivery is a message that wants to be acknowledged.
type delivery struct {
	message
	ack func()
}

var errRefused = errors.New("the broker refuses the subscription to this robot's commands: its access rules must let this robot's user read fleet/{robot_id}/commands/#")

// brokerSession is a session with a broker.
type brokerSession struct {
	line *mqttline.Line
	base string
}

func clientID(robotID string) string { return "ota-agent-" + robotID }

func base(robotID string) string { return "fleet/" + robotID + "/" }

// session connects. The messages of the broker go to arrived, which may block.
func (d *dialer) session(ctx context.Context, arrived func(delivery), last Online) (session, error) {
	user, password, err := d.login()
	if err != nil {
		return nil, err
	}
	will, err := json.Marshal(last)
	if err != nil {
		return nil, err
	}
	s := &brokerSession{base: base(d.cfg.RobotID)}
	o := mqttline.Options(clientID(d.cfg.RobotID), user, password, d.cfg.KeepAlive).
		SetCleanSession(false).SetOrderMatters(true).SetAutoAckDisabled(true).
		SetBinaryWill(s.base+"ota/online", will, 1, true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.arrived(m, arrived) })
	if s.line, err = mqttline.Connect(ctx, d.addr, d.dial, o); err != nil {
		return nil, fmt.Errorf("connect to the broker %s: %w", d.addr, err)
	}
	return s, nil
}

func (s *brokerSession) lost() <-chan struct{} { return s.line.Lost() }
func (s *brokerSession) why() error            { return s.line.Why() }
func (s *brokerSession) close()                { s.line.Close() }

// arrived takes messages under this robot's own topics; there should be no
// others.
func (s *brokerSession) arrived(m mqtt.Message, arrived func(delivery)) {
	name, ours := strings.CutPrefix(m.Topic(), s.base+"commands/")
	for _, v := range verbs() {
		if ours && name == string(v) {
			arrived(delivery{message{v, m.Payload(), m.Retained(), m.Duplicate()}, m.Ack})
			return
		}
	}
	m.Ack()
}

func (s *brokerSession) subscribe(ctx context.Context) error {
	for _, v := range verbs() { // one by one: what a broker answers to many at once may not fit the question
		if err := s.subscribeTo(ctx, s.base+"commands/"+string(v)); err != nil {
			return err
		}
	}
	return nil
}

func (s *brokerSession) subscribeTo(ctx context.Context, topic string) error {
	err := s.line.Subscribe(ctx, topic, 1)
	if errors.Is(err, mqttline.ErrRefused) {
		err = errRefused
	}
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return nil
}

func (s *brokerSession) publish(ctx context.Context, topic string, retained bool, payload []byte) error {
	return s.line.Publish(ctx, s.base+topic, retained, payload)()
}
