package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/api"
	"github.com/robot-platform/robot-ota/fleet/internal/certs"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard"
	"github.com/robot-platform/robot-ota/fleet/internal/ingest"
	"github.com/robot-platform/robot-ota/fleet/internal/metadata"
	"github.com/robot-platform/robot-ota/fleet/internal/metrics"
	"github.com/robot-platform/robot-ota/fleet/internal/mqttfleet"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/origin"
)

// Bounds for clients that are slow or ask for too much.
const (
	headTimeout  = 10 * time.Second // to send a request's header
	readTimeout  = 20 * time.Second // to send all of it
	writeTimeout = time.Minute      // to take an answer; an artifact: each piece of it
	idleTimeout  = 2 * time.Minute
	maxHead      = 16 << 10 // bytes of a request's header
	drain        = 10 * time.Second
)

// pruneEvery is how often what is too old is removed.
const pruneEvery = time.Hour

type serveOptions struct {
	at                             place
	listen, publicURL, artifactURL string
	certs                          certs.Files
	identity, logFormat            string
	downloads                      int
	noPatches                      bool
	proxies                        []string
	people                         people
	leading                        leading
	broker                         broker
	signing                        signing
}

func serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --data DIR --tls-cert FILE --tls-key FILE",
		Short: "Answer robots over HTTPS",
		Long: `Answer robots over HTTPS (TLS 1.2 or later). Prints its address once it listens.
SIGTERM or Ctrl-C ends it; transfers that go on get ten seconds. Certificates that
are renewed in their files are used within seconds, without a restart.

A robot says who it is by a bearer token (ota-fleet robot add) or by a client
certificate (--client-ca). With --identity optional, for a laboratory only, others
are answered as well: they get what is stable, and are counted by their address;
and robots that are heard of for the first time are registered.

With --online-key robots can be sure that what they are told is the newest: see
ota-fleet metadata.

With --mqtt-url what robots publish is taken in, and commands reach them in
seconds; without it robots report over HTTPS, and hear of releases when they ask.
Several servers may share one PostgreSQL (--db) and one folder of artifacts.`,
		Args: noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	o.at.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", ":8443", "host:port to listen on; port 0 takes a free one")
	f.StringVar(&o.certs.Cert, "tls-cert", "", "certificate chain (PEM); ota-fleet dev-cert makes one for a laboratory")
	f.StringVar(&o.certs.Key, "tls-key", "", "its private key (PEM)")
	f.StringVar(&o.certs.ClientCA, "client-ca", "", "authorities (PEM) whose client certificates prove who a robot is")
	f.StringVar(&o.identity, "identity", string(api.IdentityRequired), "required, or optional for a laboratory: who proves nothing is served too")
	f.IntVar(&o.downloads, "downloads", api.DefaultDownloads, "downloads that a robot has on a day in UTC; one that is resumed counts once")
	f.BoolVar(&o.noPatches, "no-patches", false, "make no patches for versions that robots turn out to run; those that are there are offered")
	f.StringVar(&o.publicURL, "public-url", "", "https address under which robots or a CDN reach this server; empty: the one that they ask")
	f.StringVar(&o.artifactURL, "artifact-url", "", "https address of an object store or CDN that has the artifacts, each under its SHA-256: downloads are sent on to it")
	f.StringSliceVar(&o.proxies, "trusted-proxies", nil, "addresses and networks (10.0.0.7,10.0.1.0/24) of proxies whose X-Forwarded-For tells who asks; none: the connection does")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json, on standard error")
	o.people.flags(cmd)
	o.leading.flags(cmd)
	o.broker.flags(cmd)
	o.signing.flags(cmd)
	need(cmd, "tls-cert", "tls-key")
	return cmd
}

func serve(ctx context.Context, o serveOptions, stdout, stderr io.Writer) (err error) {
	log, err := logger(stderr, o.logFormat)
	if err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	pair, err := certs.New(o.certs, time.Now, log)
	if err != nil {
		return fmt.Errorf("--tls-cert, --tls-key or --client-ca: %w", err)
	}
	s, err := o.at.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m, err := metrics.New(s, time.Now, log)
	if err != nil {
		return err
	}
	take := ingest.New(ingest.Config{Adopt: cfg.Identity == api.IdentityOptional, Now: time.Now, Metrics: m}, s, log)
	keeper, err := o.signing.keeper(s, log)
	if err != nil {
		return err
	}
	if err := keeper.Renew(ctx); err != nil && !errors.Is(err, metadata.ErrNotSetUp) { // before anybody asks
		return fmt.Errorf("release metadata: %w", err)
	}
	var line *mqttfleet.Link
	if o.broker.given() {
		if line, err = o.broker.link(s, take, m, log); err != nil {
			return err
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	fmt.Fprintf(stdout, "listening on https://%s\n", l.Addr())
	ctx, stop := context.WithCancelCause(ctx)
	also := &beside{store: s, certs: o.certs, log: log, stdout: stdout, fail: stop}
	defer also.Wait()
	defer stop(nil)
	pages := dashboard.DefaultConfig()
	pages.Proxies = cfg.Proxies
	if err := errors.Join(also.serveDashboard(ctx, o.people.dashboard, pages, also.deeds()), also.serveMetrics(ctx, o.people, m)); err != nil {
		return errors.Join(err, l.Close())
	}
	also.Go(func() { prune(ctx, s, log) })
	also.Go(func() { missRobots(ctx, s, log) })
	also.Go(func() { followIncidents(ctx, s, log) })
	also.Go(func() { keeper.Run(ctx) })
	if !o.noPatches {
		also.Go(func() { lookAfterPatches(ctx, s, log) })
	}
	also.Go(func() { o.leading.lookAfterRollouts(ctx, s, log) })
	if line != nil {
		also.Go(func() { talk(ctx, line, s, log) })
	}
	back := api.FromStore(s)
	back.Reports, back.Metrics, back.Metadata = take, m, documents{s}
	if err := answer(ctx, server(api.New(cfg, back, log), pair.Config(), log), l, log); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause // of what ended it
	}
	return nil
}

// config is the interface's, or what is wrong with the options.
func (o serveOptions) config() (api.Config, error) {
	public, err := httpsURL("--public-url", o.publicURL)
	if err != nil {
		return api.Config{}, err
	}
	artifacts, err := httpsURL("--artifact-url", o.artifactURL)
	if err != nil {
		return api.Config{}, err
	}
	proxies, err := origin.Parse(o.proxies)
	if err != nil {
		return api.Config{}, fmt.Errorf("--trusted-proxies: %w", err)
	}
	identity := api.Identity(o.identity)
	switch {
	case identity != api.IdentityRequired && identity != api.IdentityOptional:
		return api.Config{}, fmt.Errorf("--identity %q: want %s or %s", o.identity, api.IdentityRequired, api.IdentityOptional)
	case o.leading.check() != nil:
		return api.Config{}, o.leading.check()
	case o.broker.check() != nil:
		return api.Config{}, o.broker.check()
	case o.downloads < 1 || o.downloads > 1_000_000:
		return api.Config{}, fmt.Errorf("--downloads %d: want 1 to 1000000", o.downloads)
	}
	return api.Config{PublicURL: public, ArtifactURL: artifacts, Identity: identity, Downloads: o.downloads, Proxies: proxies, Now: time.Now}, nil
}

func logger(w io.Writer, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", format)
}

func httpsURL(flag, s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s %q: want https://host or https://host/path", flag, s)
	}
	return u, nil
}

func server(h http.Handler, cfg *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		TLSConfig:         cfg,
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes that failed, and the like
	}
}

// answer serves, without TLS where the server has none, until ctx ends, and then lets go on what goes on, for a while.
func answer(ctx context.Context, s *http.Server, l net.Listener, log *slog.Logger) error {
	failed := make(chan error, 1)
	go func() {
		if s.TLSConfig == nil {
			failed <- s.Serve(l)
			return
		}
		failed <- s.ServeTLS(l, "", "")
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping")
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := s.Shutdown(late); err != nil { // their time is over
		log.Warn("transfers were cut", "err", err)
		_ = s.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// prune removes what is too old, now and then.
func prune(ctx context.Context, s *store.Store, log *slog.Logger) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		n, err := s.Prune(ctx, store.DefaultRetention())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("what is too old is not removed", "err", err)
		case n > 0:
			log.Info("removed what was too old", "rows", n)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
