package daytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
)

// fleet is the broker, and the operator who sits beside it.
type fleet struct {
	day    *day
	server *broker.Server

	// The day's lock guards what follows.
	away   bool // nobody reaches the broker
	lines  map[net.Conn]struct{}
	events []mqttlink.Event
	keep   int // of the events, 0: all
	last   mqttlink.Status
}

func (d *day) openFleet() error {
	f := &d.fleet
	f.day, f.lines = d, make(map[net.Conn]struct{})
	f.server = broker.New(&broker.Options{InlineClient: true, Logger: quiet, SysTopicResendInterval: 24 * 3600})
	if err := f.server.AddHook(new(open), nil); err != nil {
		return err
	}
	// It is not asked to serve: its loop would look at what has expired every
	// second of the day, and nothing does.
	return f.server.Subscribe("fleet/r1/ota/#", 1, f.hear)
}

// open lets everybody in: who may is not the matter here.
type open struct{ broker.HookBase }

func (*open) ID() string { return "open" }

func (*open) Provides(b byte) bool {
	return b == broker.OnConnectAuthenticate || b == broker.OnACLCheck
}

func (*open) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }

func (*open) OnACLCheck(*broker.Client, string, bool) bool { return true }

// hear notes what the robot says.
func (f *fleet) hear(_ *broker.Client, _ packets.Subscription, p packets.Packet) {
	f.day.mu.Lock()
	defer f.day.mu.Unlock()
	var err error
	switch p.TopicName {
	case "fleet/r1/ota/event":
		var e mqttlink.Event
		err = json.Unmarshal(p.Payload, &e)
		f.events = append(f.events, e)
		if f.keep > 0 && len(f.events) > f.keep {
			f.events = append(f.events[:0], f.events[1:]...)
		}
	case "fleet/r1/ota/status":
		err = json.Unmarshal(p.Payload, &f.last)
	}
	if err != nil {
		f.day.fault("what the robot says cannot be read: %v", err)
	}
}

// dial is the robot's way to the broker.
func (f *fleet) dial(context.Context) (net.Conn, error) {
	f.day.mu.Lock()
	defer f.day.mu.Unlock()
	f.day.count("dial")
	if f.away {
		return nil, errors.New("no route to the broker")
	}
	near, far := net.Pipe()
	f.lines[far] = struct{}{}
	go func() {
		_ = f.server.EstablishConnection("pipe", far) // it ends as connections do
		_ = far.Close()
		f.day.mu.Lock()
		defer f.day.mu.Unlock()
		delete(f.lines, far)
	}()
	return near, nil
}

// part takes the broker away, or gives it back.
func (f *fleet) part(away bool) {
	f.day.mu.Lock()
	f.away = away
	var ends []net.Conn
	for c := range f.lines {
		ends = append(ends, c)
	}
	f.day.mu.Unlock()
	if away {
		for _, c := range ends {
			_ = c.Close()
		}
	}
}

// say publishes a command, as often as told.
func (f *fleet) say(times int, retain bool, verb, format string, args ...any) {
	for range times {
		if err := f.server.Publish("fleet/r1/commands/"+verb, fmt.Appendf(nil, format, args...), retain, 1); err != nil {
			f.day.fault("the broker refuses a command: %v", err)
		}
	}
}

// order is a command to install a release.
func (f *fleet) order(id string, r release) {
	f.say(3, false, "ota", `{"id":%q,"url":%q,"sha256":%q,"version":%q}`, id, r.url(), r.sum, r.version)
}

// junk is what a broker full of old and foreign things holds.
func (f *fleet) junk(r release) {
	f.say(2, false, "ota", `{"url": "https://`)
	f.say(1, false, "ota", `{"id":"foreign","url":%q,"sha256":%q,"version":%q,"sku":"industrial"}`, r.url(), r.sum, r.version)
	f.say(1, false, "ota", `{"id":"stale","url":%q,"sha256":%q,"version":%q,"issued":%d}`, r.url(), r.sum, r.version, time.Now().Add(-48*time.Hour).Unix())
	f.say(1, false, "ota", `{"id":"older","url":%q,"sha256":%q,"version":"0.1.0"}`, r.url(), r.sum) // which an agent may take that has not heard the firmware yet
	f.say(1, false, "cancel", `{"id":"never-heard-of"}`)
	f.say(1, true, "rollback", `{"id":"left-behind","reason":"of another day","version":"0.0.9"}`)
}

// refusals are the codes with which that is refused, whatever else goes on.
func refusals() []string {
	return []string{"malformed", "foreign_sku", "stale", "not_running", "retained", "unknown_job"}
}
