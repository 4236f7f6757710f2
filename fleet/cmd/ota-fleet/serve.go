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
)

// Bounds for clients that are slow or ask for too much.
const (
	headTimeout  = 10 * time.Second // to send a request's header
	readTimeout  = 20 * time.Second // to send all of it
	writeTimeout = time.Minute      // to take an answer; an artifact: each piece of it
	idleTimeout  = 2 * time.Minute
	maxHead      = 16 << 10 // bytes of a request's header
	maxBody      = 1 << 10  // bytes of a request's body: none is wanted
	drain        = 10 * time.Second
)

type serveOptions struct {
	at                                      place
	listen, cert, key, publicURL, logFormat string
}

func serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve --data DIR --tls-cert FILE --tls-key FILE",
		Short: "Answer robots over HTTPS",
		Long: `Answer robots over HTTPS (TLS 1.2 or later). Prints its address once it listens.
SIGTERM or Ctrl-C ends it; transfers that go on get ten seconds.`,
		Args: noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	o.at.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", ":8443", "host:port to listen on; port 0 takes a free one")
	f.StringVar(&o.cert, "tls-cert", "", "certificate chain (PEM); ota-fleet dev-cert makes one for a laboratory")
	f.StringVar(&o.key, "tls-key", "", "its private key (PEM)")
	f.StringVar(&o.publicURL, "public-url", "", "https address under which robots or a CDN reach this server; empty: the one that they ask")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json, on standard error")
	need(cmd, "tls-cert", "tls-key")
	return cmd
}

func serve(ctx context.Context, o serveOptions, stdout, stderr io.Writer) (err error) {
	log, err := logger(stderr, o.logFormat)
	if err != nil {
		return err
	}
	public, err := publicURL(o.publicURL)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", o.cert, o.key, err)
	}
	s, err := o.at.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	fmt.Fprintf(stdout, "listening on https://%s\n", l.Addr())
	handler := api.New(api.Config{PublicURL: public}, s, log)
	return answer(ctx, server(handler, pair, log), l, log)
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

func publicURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--public-url %q: want https://host or https://host/path", s)
	}
	return u, nil
}

func server(h http.Handler, pair tls.Certificate, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           http.MaxBytesHandler(h, maxBody),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes that failed, and the like
	}
}

// answer serves until ctx ends, and then lets go on what goes on, for a while.
func answer(ctx context.Context, s *http.Server, l net.Listener, log *slog.Logger) error {
	failed := make(chan error, 1)
	go func() { failed <- s.ServeTLS(l, "", "") }()
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
