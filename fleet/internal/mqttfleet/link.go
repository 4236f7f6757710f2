package mqttfleet

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// Config says which broker, and as whom.
type Config struct {
	// URL of the broker: mqtts://host:port, or mqtt://host:port for a host that
	// is this computer.
	URL string
	// ClientID is the same for all servers of the fleet; "": ota-fleet.
	ClientID string
	// CAFile (PEM) is who signed the broker's certificate; "": the system's.
	CAFile string
	// CertFile and KeyFile (PEM) are the client's certificate; "": none.
	CertFile, KeyFile string
	// Username, and PasswordFile (mode 0600) with its password; "": none.
	Username, PasswordFile string
	// KeepAlive is how long the line may be silent, in whole seconds.
	KeepAlive time.Duration
	// Now is the server's clock.
	Now func() time.Time
}

// Message is what came on a topic.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
	Received time.Time
}

// Inbox stores messages, or says why it cannot now.
type Inbox interface {
	Take(ctx context.Context, messages []Message) error
}

// Outbox has the commands.
type Outbox interface {
	// Due lists those that are to be sent now; see store.Reader.
	Due(ctx context.Context, now time.Time, unit time.Duration, limit int) ([]store.Command, error)
	// Sent notes that the broker has taken them.
	Sent(ctx context.Context, ids ...string) error
}

// Metrics hears of the line. It may be nil.
type Metrics interface {
	Connected(yes bool)
	Dropped(n int) // messages of QoS 0 for which there was no room
}

// Link is the line to the robots.
type Link struct {
	cfg     Config
	inbox   Inbox
	outbox  Outbox
	metrics Metrics
	log     *slog.Logger
	dial    func(ctx context.Context, arrived func(delivery)) (session, error)
}

// New makes a link. Files that the configuration names are read with each
// connection, so that renewed ones are used without a restart.
func New(cfg Config, in Inbox, out Outbox, m Metrics, log *slog.Logger) (*Link, error) {
	d, err := newDialer(cfg)
	if err != nil {
		return nil, err
	}
	if m == nil {
		m = nobody{}
	}
	return &Link{cfg: cfg, inbox: in, outbox: out, metrics: m, log: log, dial: d.session}, nil
}

type nobody struct{}

func (nobody) Connected(bool) {}
func (nobody) Dropped(int)    {}

// When to connect again.
const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
	// steady is how long a connection must have held for the next wait to begin
	// small again.
	steady = time.Minute
)

// Run talks to the broker until ctx ends.
func (l *Link) Run(ctx context.Context) {
	wait := firstWait
	for {
		began := time.Now()
		err := l.converse(ctx)
		l.metrics.Connected(false)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			wait = firstWait
		}
		pause := wait/2 + rand.N(wait/2)
		l.log.Warn("no connection to the robots' broker", "err", err, "again", pause.Round(time.Second/10))
		if !sleep(ctx, pause) {
			return
		}
		wait = min(2*wait, maxWait)
	}
}

// sleep waits; false: ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// converse is one connection, from its beginning to its end.
func (l *Link) converse(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	in := newQueue(l.metrics.Dropped)
	s, err := l.dial(ctx, func(d delivery) { in.offer(ctx, d) })
	if err != nil {
		return err
	}
	defer s.close()
	beside.Go(func() { l.receive(ctx, in) })
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	l.log.Info("connected to the robots' broker", "session_kept", s.kept())
	l.metrics.Connected(true)
	if !s.kept() {
		if err := l.repeat(ctx, s); err != nil {
			return err
		}
	}
	for {
		if err := l.send(ctx, s); err != nil {
			return err
		}
		t := time.NewTimer(askEvery)
		select {
		case <-t.C:
		case <-s.lost():
			t.Stop()
			return s.why()
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}
