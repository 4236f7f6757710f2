// Package mqttline is one connection to an MQTT broker by the Eclipse Paho
// client, for agent and fleet.
//
// There is one client for each connection, and it neither stores nor reconnects:
// what has to outlive the connection, and when to try again, is for who talks to
// decide. What the broker may send is bounded by mqttframe, and every wait ends
// with the connection, the context or a time of its own.
package mqttline

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

// ConnectTime is how long a connection may take, up to the broker's answer.
const ConnectTime = 20 * time.Second

// Bounds of what a connection waits for.
const (
	ackTime   = 20 * time.Second
	writeTime = 10 * time.Second
	pingTime  = 10 * time.Second
	goodbye   = 250 // milliseconds

	numberInUse    = 0x91 // MQTT 5, section 3.9.3
	subscribeTries = 40
	subscribePause = 250 * time.Millisecond
)

// Errors of a connection.
var (
	// ErrGone: there is none any more.
	ErrGone = errors.New("the connection to the broker is gone")
	// ErrSilent: the broker does not acknowledge.
	ErrSilent = errors.New("the broker does not answer")
	// ErrRefused: it does not let this user subscribe to that.
	ErrRefused = errors.New("the broker refuses the subscription")
)

// Dial connects to a broker, TLS included.
type Dial func(ctx context.Context) (net.Conn, error)

// Line is a connection.
type Line struct {
	client  mqtt.Client
	present bool
	once    sync.Once
	gone    chan struct{}
	cause   error // guarded by gone
}

// Options are those of every connection.
func Options(clientID, user, password string, keepAlive time.Duration) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().SetProtocolVersion(4).SetClientID(clientID).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(ConnectTime).SetWriteTimeout(writeTime).
		SetKeepAlive(keepAlive).SetPingTimeout(min(pingTime, keepAlive))
}

// Connect makes a connection to the broker at addr, which dial reaches. Until the
// broker has answered, ctx ends it; later, Close does. An error is the broker's
// refusal or what the network says.
func Connect(ctx context.Context, addr string, dial Dial, o *mqtt.ClientOptions) (*Line, error) {
	l := &Line{gone: make(chan struct{})}
	answered := func() bool { return true }
	o.AddBroker("tcp://" + addr).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.end(err) }).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			conn, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			answered = context.AfterFunc(ctx, func() { _ = conn.Close() })
			return mqttframe.Bound(conn), nil
		})
	l.client = mqtt.NewClient(o)
	token := l.client.Connect()
	<-token.Done() // within ConnectTime, or when ctx ends
	answered()
	if err := token.Error(); err != nil {
		return nil, err
	}
	if t, ok := token.(*mqtt.ConnectToken); ok {
		l.present = t.SessionPresent()
	}
	return l, nil
}

// Kept says that the broker knew the session from before.
func (l *Line) Kept() bool { return l.present }

// Lost is closed when the connection is gone.
func (l *Line) Lost() <-chan struct{} { return l.gone }

// Why waits until it is gone, and says why: an ErrGone.
func (l *Line) Why() error {
	<-l.gone
	return l.cause
}

func (l *Line) end(err error) {
	l.once.Do(func() {
		l.cause = fmt.Errorf("%w: %w", ErrGone, err)
		close(l.gone)
	})
}

// Close says goodbye to the broker.
func (l *Line) Close() {
	l.client.Disconnect(goodbye)
	l.end(errors.New("closed"))
}

// Subscribe subscribes to one filter, as mqttframe wants it. It asks again where
// the broker says that the packet's number is in use: mochi does as long as a
// message of its own with that number is not acknowledged.
func (l *Line) Subscribe(ctx context.Context, filter string, qos byte) error {
	for tries := 1; ; tries++ {
		token := l.client.Subscribe(filter, qos, nil)
		if err := l.wait(ctx, token); err != nil {
			return err
		}
		t, ok := token.(*mqtt.SubscribeToken)
		if !ok || t.Result()[filter] <= 2 {
			return nil
		}
		if t.Result()[filter] != numberInUse || tries == subscribeTries {
			return ErrRefused
		}
		pause := time.NewTimer(subscribePause)
		select {
		case <-pause.C:
		case <-l.gone:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// Publish says something with QoS 1; what it returns waits until the broker has
// acknowledged it.
func (l *Line) Publish(ctx context.Context, topic string, retained bool, payload []byte) (wait func() error) {
	token := l.client.Publish(topic, 1, retained, payload)
	return func() error {
		if err := l.wait(ctx, token); err != nil {
			return fmt.Errorf("publish on %s: %w", topic, err)
		}
		return nil
	}
}

func (l *Line) wait(ctx context.Context, token mqtt.Token) error {
	t := time.NewTimer(ackTime)
	defer t.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-l.gone:
		return l.cause
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ErrSilent
	}
}
