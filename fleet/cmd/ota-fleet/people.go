package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/certs"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/metrics"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// people says where people are answered. That is a port of its own: robots'
// port asks for client certificates, lies behind a CDN and in the open, and
// what people see belongs on another network.
type people struct{ dashboard, metrics, metricsToken string }

func (p *people) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.dashboard, "dashboard", "", "host:port of the dashboard, such as :8444; empty: none. ota-fleet user add lets people in")
	cmd.Flags().StringVar(&p.metrics, "metrics", "", "host:port for Prometheus: plain HTTP on a loopback address such as 127.0.0.1:9464, HTTPS and a token on any other; empty: none")
	cmd.Flags().StringVar(&p.metricsToken, "metrics-token-file", "", "file with the bearer token that scrapes have to bring")
}

// beside is what a server does besides answering robots.
type beside struct {
	sync.WaitGroup
	store  *store.Store
	certs  certs.Files
	log    *slog.Logger
	stdout io.Writer
	// fail ends the server.
	fail context.CancelCauseFunc
}

// deeds are what operators can do on a server's dashboard.
func (b *beside) deeds() dashboard.Deeds {
	return dashboard.Deeds{Steering: steering{newController(b.store, 0, b.log)}, Emergency: emergency.New(b.store, time.Now)}
}

// serveDashboard answers people until ctx ends.
func (b *beside) serveDashboard(ctx context.Context, address string, cfg dashboard.Config, deeds dashboard.Deeds) error {
	if address == "" {
		return nil
	}
	h, err := dashboard.New(cfg, b.store, deeds, b.log)
	if err != nil {
		return err
	}
	pair, err := b.pair()
	if err != nil {
		return err
	}
	l, err := b.listen(ctx, "--dashboard", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.stdout, "dashboard on https://%s\n", l.Addr())
	s := server(h, pair.Config(), b.log)
	s.BaseContext = func(net.Listener) context.Context { return ctx } // pages that are followed live end with it
	b.start(ctx, s, l)
	return nil
}

// serveMetrics answers Prometheus until ctx ends.
func (b *beside) serveMetrics(ctx context.Context, p people, m *metrics.Metrics) error {
	if p.metrics == "" {
		return nil
	}
	token, err := metricsToken(p)
	if err != nil {
		return err
	}
	l, err := b.listen(ctx, "--metrics", p.metrics)
	if err != nil {
		return err
	}
	if loopback(l.Addr()) {
		fmt.Fprintf(b.stdout, "metrics on http://%s/metrics\n", l.Addr())
		b.start(ctx, server(m.Handler(token), nil, b.log), l)
		return nil
	}
	if token == "" {
		return errors.Join(fmt.Errorf("--metrics %s: others than this machine can reach it, so it takes --metrics-token-file; or listen on 127.0.0.1", p.metrics), l.Close())
	}
	pair, err := b.pair()
	if err != nil {
		return errors.Join(err, l.Close())
	}
	fmt.Fprintf(b.stdout, "metrics on https://%s/metrics\n", l.Addr())
	b.start(ctx, server(m.Handler(token), pair.Config(), b.log), l)
	return nil
}

// metricsToken reads the token; "": none is wanted.
func metricsToken(p people) (string, error) {
	if p.metricsToken == "" {
		return "", nil
	}
	b, err := os.ReadFile(p.metricsToken)
	if err != nil {
		return "", fmt.Errorf("--metrics-token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	const least, most = 16, 1024
	if len(token) < least || len(token) > most {
		return "", fmt.Errorf("--metrics-token-file %s: want a token of %d to %d characters", p.metricsToken, least, most)
	}
	return token, nil
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// pair is the server's certificate; nobody is asked for one.
func (b *beside) pair() (*certs.Source, error) {
	pair, err := certs.New(certs.Files{Cert: b.certs.Cert, Key: b.certs.Key}, time.Now, b.log)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return pair, nil
}

func (b *beside) listen(ctx context.Context, flag, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return l, nil
}

// start answers until ctx ends. A listener that breaks ends the server: whoever
// runs it has to see it.
func (b *beside) start(ctx context.Context, s *http.Server, l net.Listener) {
	b.Go(func() {
		if err := answer(ctx, s, l, b.log); err != nil {
			b.fail(err)
		}
	})
}
