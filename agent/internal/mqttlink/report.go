package mqttlink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// HTTP sends requests to the update server.
type HTTP interface {
	Do(req *http.Request) (*http.Response, error)
}

// NewReporter is a link without a broker: what would be published is posted to
// the update server's /v1/report, progress every ten seconds. No commands come
// that way. Of cfg the broker does not count.
func NewReporter(cfg Config, server *url.URL, h HTTP, memory update.Memory, log *slog.Logger) (*Link, error) {
	address := server.JoinPath("v1", "report").String()
	l, err := newLink(cfg, memory, log, func(context.Context, func(delivery), Online) (session, error) {
		return &posts{http: h, url: address, log: log, gone: make(chan struct{})}, nil
	})
	if err != nil {
		return nil, err
	}
	l.peer, l.pace = "the update server", reportPace
	return l, nil
}

const (
	reportPace = 10 * time.Second
	reportTime = time.Minute // for one report and its answer
)

// posts is a session that nobody keeps: each word is a request.
type posts struct {
	http HTTP
	url  string
	log  *slog.Logger
	gone chan struct{}
}

// reported is the body of a report.
type reported struct {
	Documents []document `json:"documents"`
}

type document struct {
	Topic   string          `json:"topic"`
	Payload json.RawMessage `json:"payload"`
}

func (p *posts) subscribe(context.Context) error { return nil }
func (p *posts) lost() <-chan struct{}           { return p.gone }
func (p *posts) why() error                      { return mqttline.ErrGone }
func (p *posts) close()                          { close(p.gone) }

// publish posts. A word that the server refuses for what it says is given up: it
// would be refused for ever, and hold up what comes after it.
func (p *posts) publish(ctx context.Context, topic string, _ bool, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	body, err := json.Marshal(reported{[]document{{topic, payload}}})
	if err != nil {
		return fmt.Errorf("report %s: %w", topic, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("report %s: %w", topic, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("report %s: %w", topic, err)
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	switch resp.StatusCode {
	case http.StatusNoContent, http.StatusOK:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // so that the connection serves again
		return nil
	case http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		p.log.Error("the update server refuses what this robot reports, and it is given up", "topic", topic, "err", httpguard.Status(resp, time.Now()))
		return nil
	}
	return fmt.Errorf("report %s: %w", topic, httpguard.Status(resp, time.Now()))
}

// leaveAlone is how long a server asked to be left alone, at most an hour.
func leaveAlone(err error) time.Duration {
	var status *httpguard.StatusError
	if !errors.As(err, &status) {
		return 0
	}
	return min(status.LeaveAlone(), time.Hour)
}
