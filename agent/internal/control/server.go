package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// Watched is what the agent shows of itself.
type Watched interface {
	Status() update.Status
	// News wakes its reader at every change of Status.
	News() (<-chan struct{}, func())
}

// Starter begins jobs.
type Starter interface {
	Trigger(ctx context.Context, r update.Request) (jobID string, err error)
	Plan(ctx context.Context, r update.Request) (update.Plan, error)
	Rollback(ctx context.Context, reason string, o update.Origin) (jobID string, err error)
}

// Holder keeps jobs from going on.
type Holder interface {
	Cancel(ctx context.Context) error
	Inhibit(ctx context.Context, owner, reason string, lease time.Duration) error
}

// Engine is the running agent.
type Engine interface {
	Watched
	Starter
	Holder
}

// History is what was done before.
type History interface {
	History(n int) ([]update.Record, error)
}

// Server answers the command line.
type Server struct {
	engine  Engine
	history History
	keys    Keys    // nil: nothing is told of keys
	patient Patient // nil: cannot be examined
	log     *slog.Logger
}

// NewServer makes a server in front of an engine and its history.
func NewServer(e Engine, h History, log *slog.Logger) *Server {
	return &Server{engine: e, history: h, log: log}
}

// Times of the server.
const (
	headerTime   = 5 * time.Second  // to read a request's head
	bodyTime     = 5 * time.Second  // to read its body
	writeTime    = 10 * time.Second // to take one line of the events
	idleTime     = time.Minute
	shutdownTime = 2 * time.Second
)

// Serve answers on l until ctx ends, closes l, and returns when the last
// request is done with. It returns nil unless the listener fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(bye); err != nil {
		srv.Close() //nolint:errcheck,gosec // whoever is left has had time enough
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("GET /v1/history", s.past)
	mux.HandleFunc("POST /v1/trigger", s.trigger)
	mux.HandleFunc("POST /v1/check", s.check)
	mux.HandleFunc("POST /v1/plan", s.plan)
	mux.HandleFunc("POST /v1/cancel", s.cancel)
	mux.HandleFunc("POST /v1/rollback", s.rollback)
	mux.HandleFunc("POST /v1/inhibit", s.inhibit)
	s.handleKeys(mux)
	s.examination(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.tell(w, &Problem{Status: http.StatusNotFound, Code: NotFound, Detail: fmt.Sprintf("this agent knows no %s %s: is it older than this command?", r.Method, r.URL.Path)})
	})
	return mux
}
