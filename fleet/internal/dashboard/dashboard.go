package dashboard

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/robot-platform/robot-ota/fleet/internal/rollout"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/origin"
)

// Steering carries out what an operator orders of a rollout.
type Steering interface {
	Steer(ctx context.Context, rollout string, o rollout.Order) error
}

// Emergency takes a release back, and gives the incident that it opens.
type Emergency interface {
	// Halt lets nobody have the release any more.
	Halt(ctx context.Context, by, release, reason string) (incident string, err error)
	// Rollback is Halt, and has the robots that run it put it back.
	Rollback(ctx context.Context, by, release, reason string) (incident string, err error)
}

// Deeds are what operators can do. What is nil nobody can.
type Deeds struct {
	Steering  Steering
	Emergency Emergency
}

// Config of the dashboard.
type Config struct {
	// Now is the machine's clock.
	Now func() time.Time
	// Refresh is how often an open page is looked at for changes.
	Refresh time.Duration
	// Idle ends a session that is not used, Life every session.
	Idle, Life time.Duration
	// Proxies are those before it, whose word counts from where people come.
	Proxies origin.Proxies
}

// DefaultConfig is what a server runs with.
func DefaultConfig() Config {
	return Config{Now: time.Now, Refresh: 2 * time.Second, Idle: 30 * time.Minute, Life: 12 * time.Hour}
}

//go:embed pages static
var files embed.FS

type dashboard struct {
	cfg     Config
	store   *store.Store
	deeds   Deeds
	log     *slog.Logger
	pages   pages
	doors   doors
	viewers chan struct{} // one for each page that is followed live
	// fleets are what the first page shows, for each of its choices.
	fleets map[int]*kept[overviewData]
}

// Bounds.
const (
	maxForm    = 16 << 10 // bytes of a form
	maxViewers = 64
)

// New makes the handler.
func New(cfg Config, s *store.Store, deeds Deeds, log *slog.Logger) (http.Handler, error) {
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	d := &dashboard{cfg: cfg, store: s, deeds: deeds, log: log, doors: newDoors(cfg.Now, cfg.Proxies), viewers: make(chan struct{}, maxViewers)}
	d.fleets = make(map[int]*kept[overviewData])
	for _, days := range choices() {
		d.fleets[days] = &kept[overviewData]{}
	}
	if d.pages, err = parsePages(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, of := range map[string]view{
		"/{$}":            d.overview,
		"/rollouts":       d.rollouts,
		"/rollouts/{id}":  d.rollout,
		"/releases":       d.releases,
		"/robots":         d.robots,
		"/robots/{id}":    d.robot,
		"/incidents":      d.incidents,
		"/incidents/{id}": d.incident,
	} {
		mux.Handle("GET "+path, d.page(of))
		mux.Handle("GET /live"+path, d.live(of))
	}
	for _, of := range []string{"rollouts", "releases"} {
		mux.Handle("GET /"+of+"/{id}/{verb}", d.page(d.ask))
		mux.Handle("POST /"+of+"/{id}/{verb}", d.answering(d.obey))
	}
	mux.Handle("GET /login", d.handler(d.loginPage))
	mux.Handle("POST /login", d.handler(d.login))
	mux.Handle("POST /logout", d.answering(d.logout))
	mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(static))))
	mux.Handle("/", d.page(func(*http.Request, visit) (page, error) {
		return page{}, faultf(http.StatusNotFound, "There is no such page.")
	}))

	same := http.NewCrossOriginProtection()
	same.SetDenyHandler(d.handler(func(http.ResponseWriter, *http.Request) error {
		return faultf(http.StatusForbidden, "This request came from another site. Nothing was done.")
	}))
	return guarded(same.Handler(mux)), nil
}

// guarded sets what every answer carries, and bounds every request.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// cached lets browsers keep the files that come with the program for a while.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=600")
		next.ServeHTTP(w, r)
	})
}

// fault is an error that a person is told.
type fault struct {
	status int
	text   string
}

func (f *fault) Error() string { return f.text }

func faultf(status int, text string) error { return &fault{status, text} }

// handler answers with a page that says what went wrong, if something did.
func (d *dashboard) handler(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			d.fail(w, r, visit{}, err)
		}
	})
}

// fail shows an error. What is wrong inside is not told, but logged.
func (d *dashboard) fail(w http.ResponseWriter, r *http.Request, v visit, err error) {
	f := &fault{http.StatusInternalServerError, "Something went wrong inside. The server's log says what."}
	switch {
	case errors.As(err, &f):
	case errors.Is(err, store.ErrNotFound):
		f = &fault{http.StatusNotFound, "There is no such thing here."}
	case r.Context().Err() != nil:
		return // nobody waits any more
	default:
		d.log.Error("dashboard", "path", r.URL.Path, "err", err)
	}
	d.render(w, f.status, v, page{name: "fault", Title: http.StatusText(f.status), Data: f.text})
}
