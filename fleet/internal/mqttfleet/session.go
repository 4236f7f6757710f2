package mqttfleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/robot-platform/robot-ota/internal/mqttframe"
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

// Bounds of what a session waits for.
const (
	ackTime   = 20 * time.Second
	writeTime = 10 * time.Second
	pingTime  = 10 * time.Second
	goodbye   = 250 // milliseconds

	numberInUse    = 0x91 // MQTT 5, section 3.9.3
	subscribeTries = 40
	subscribePause = 250 * time.Millisecond
)

// Errors of a session.
var (
	errGone    = errors.New("the connection to the broker is gone")
	errSilent  = errors.New("the broker does not answer")
	errRefused = errors.New("the broker refuses the subscription: its access rules must let the fleet's user read fleet/+/ota/# and fleet/+/diagnostics")
)

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

// pahoSession is a session by the Eclipse Paho client. There is one client for
// each connection, and it neither stores nor reconnects.
type pahoSession struct {
	client  mqtt.Client
	present bool
	once    sync.Once
	gone    chan struct{}
	cause   error // guarded by gone
}

// session connects. The messages of the broker go to arrived, which may block.
func (d *dialer) session(ctx context.Context, arrived func(delivery)) (session, error) {
	password, err := d.password()
	if err != nil {
		return nil, err
	}
	s := &pahoSession{gone: make(chan struct{})}
	connected := func() bool { return true }
	o := mqtt.NewClientOptions().AddBroker("tcp://" + d.addr).
		SetProtocolVersion(4).SetClientID(d.id).SetUsername(d.cfg.Username).SetPassword(password).
		SetCleanSession(false).SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(true).SetAutoAckDisabled(true).
		SetKeepAlive(d.cfg.KeepAlive).SetPingTimeout(min(pingTime, d.cfg.KeepAlive)).SetConnectTimeout(connectTime).SetWriteTimeout(writeTime).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			conn, err := d.dial(ctx)
			if err != nil {
				return nil, err
			}
			connected = context.AfterFunc(ctx, func() { _ = conn.Close() }) // until the broker has answered
			return mqttframe.Bound(conn), nil
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { arrived(deliver(m, d.cfg.Now())) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(err) })
	s.client = mqtt.NewClient(o)
	token := s.client.Connect()
	<-token.Done() // within connectTime, or when ctx ends
	connected()
	if err := token.Error(); err != nil {
		return nil, fmt.Errorf("connect to the broker %s: %w", d.addr, err)
	}
	if t, ok := token.(*mqtt.ConnectToken); ok {
		s.present = t.SessionPresent()
	}
	return s, nil
}

func deliver(m mqtt.Message, now time.Time) delivery {
	d := delivery{Message: Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Received: now}}
	if m.Qos() > 0 {
		d.ack = m.Ack
	}
	return d
}

func (s *pahoSession) end(err error) {
	s.once.Do(func() {
		s.cause = fmt.Errorf("%w: %w", errGone, err)
		close(s.gone)
	})
}

func (s *pahoSession) kept() bool            { return s.present }
func (s *pahoSession) lost() <-chan struct{} { return s.gone }

func (s *pahoSession) why() error {
	<-s.gone
	return s.cause
}

func (s *pahoSession) subscribe(ctx context.Context) error {
	for _, f := range subscriptions() {
		if err := s.subscribeTo(ctx, f); err != nil {
			return fmt.Errorf("subscribe to %s: %w", f.filter, err)
		}
	}
	return nil
}

// subscribeTo asks again where the broker says that the packet's number is in
// use: mochi does as long as a message of its own with that number is not
// acknowledged.
func (s *pahoSession) subscribeTo(ctx context.Context, f subscription) error {
	for tries := 1; ; tries++ {
		token := s.client.Subscribe(f.filter, f.qos, nil)
		if err := s.wait(ctx, token); err != nil {
			return err
		}
		t, ok := token.(*mqtt.SubscribeToken)
		if !ok || t.Result()[f.filter] <= 2 {
			return nil
		}
		if t.Result()[f.filter] != numberInUse || tries == subscribeTries {
			return errRefused
		}
		if !sleep(ctx, subscribePause) {
			return ctx.Err()
		}
	}
}

func (s *pahoSession) publish(ctx context.Context, topic string, payload []byte) func() error {
	token := s.client.Publish(topic, 1, false, payload)
	return func() error {
		if err := s.wait(ctx, token); err != nil {
			return fmt.Errorf("publish on %s: %w", topic, err)
		}
		return nil
	}
}

func (s *pahoSession) wait(ctx context.Context, token mqtt.Token) error {
	t := time.NewTimer(ackTime)
	defer t.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-s.gone:
		return s.cause
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return errSilent
	}
}

func (s *pahoSession) close() {
	s.client.Disconnect(goodbye)
	s.end(errors.New("closed"))
}
