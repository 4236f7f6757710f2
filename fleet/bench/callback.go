package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

// dialing is how many robots connect at a time, patience how long all of them may
// take for anything.
const (
	dialing  = 50
	patience = 5 * time.Minute
)

// listeners are robots at the broker.
type listeners struct {
	clients []mqtt.Client
	mu      sync.Mutex
	got     []time.Time // by robot; zero: nothing yet
	left    int
	all     chan struct{} // closed once everybody has a command
}

// callBack measures how long an order takes to reach a whole fleet, until the last
// robot has it.
func (p *plant) callBack(ctx context.Context, out io.Writer) (benchtable.Row, error) {
	began := time.Now()
	l := &listeners{clients: make([]mqtt.Client, p.o.robots), got: make([]time.Time, p.o.robots), left: p.o.robots, all: make(chan struct{})}
	defer l.close()
	if err := p.listen(ctx, l); err != nil {
		return benchtable.Row{}, fmt.Errorf("robots at the broker: %w", err)
	}
	fmt.Fprintf(out, "\n%d robots are connected to Mosquitto, after %s\n", p.o.robots, time.Since(began).Round(time.Millisecond))
	_, bad := versions()
	ordered := time.Now()
	cmd := exec.CommandContext(ctx, p.o.program, "rollback", "--data", p.dir, "--release", "standard-"+bad.String(), "--reason", "bench", "--yes")
	cmd.Env = append(cmd.Environ(), "OTA_FLEET_DB="+p.o.db)
	if text, err := cmd.CombinedOutput(); err != nil {
		return benchtable.Row{}, fmt.Errorf("rollback: %w: %s", err, text)
	}
	returned := time.Since(ordered)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-l.all:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		return benchtable.Row{}, fmt.Errorf("%d of %d robots have no command: %w", l.left, p.o.robots, ctx.Err())
	}
	slices.SortFunc(l.got, time.Time.Compare)
	at := func(q float64) time.Duration {
		return l.got[int(q*float64(len(l.got)-1))].Sub(ordered).Round(time.Millisecond)
	}
	u, err := p.used()
	if err != nil {
		return benchtable.Row{}, err
	}
	fmt.Fprintf(out, "call back  the order took %s; robots had it after %s (first), %s (half), %s (99 %%), %s (all); server %.1f MiB\n",
		returned.Round(time.Millisecond), at(0), at(0.5), at(0.99), at(1), u.resident)
	more := []benchtable.Figure{{Name: "memory", Value: u.resident, Unit: "MiB"}}
	for _, f := range []struct {
		name string
		took time.Duration
	}{{"order", returned}, {"first", at(0)}, {"half", at(0.5)}, {"99 %", at(0.99)}} {
		more = append(more, benchtable.Figure{Name: f.name, Value: f.took.Seconds(), Unit: "s"})
	}
	return benchtable.Row{Case: fmt.Sprintf("%d robots over MQTT, call back", p.o.robots), Who: server, Unit: "s",
		Values: []float64{at(1).Seconds()}, More: more}, nil
}

// listen connects every robot and has it listen to its commands.
func (p *plant) listen(ctx context.Context, l *listeners) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(dialing)
	for i := range p.o.robots {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			id := p.o.robot(i)
			c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + p.mqtt).SetClientID(id).SetAutoReconnect(false).
				SetConnectTimeout(patience).SetKeepAlive(10 * time.Minute))
			if err := done(c.Connect()); err != nil {
				return err
			}
			l.clients[i] = c
			return done(c.Subscribe("fleet/"+id+"/commands/rollback", 1, func(mqtt.Client, mqtt.Message) { l.hear(i) }))
		})
	}
	return g.Wait()
}

var errSlow = errors.New("the broker does not answer")

func done(t mqtt.Token) error {
	if !t.WaitTimeout(patience) {
		return errSlow
	}
	return t.Error()
}

func (l *listeners) hear(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got[i].IsZero() {
		l.got[i] = time.Now()
		if l.left--; l.left == 0 {
			close(l.all)
		}
	}
}

func (l *listeners) close() {
	for _, c := range l.clients {
		if c != nil {
			c.Disconnect(0)
		}
	}
}
