package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/certs"
	"github.com/robot-platform/robot-ota/fleet/internal/dashboard"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// people says where people are answered. That is a port of its own: robots'
// port asks for client certificates, lies behind a CDN and in the open, and
// what people see belongs on another network.
type people struct{ dashboard string }

func (p *people) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.dashboard, "dashboard", "", "host:port of the dashboard, such as :8444; empty: none. ota-fleet user add lets people in")
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

// serveDashboard answers people until ctx ends.
func (b *beside) serveDashboard(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	h, err := dashboard.New(dashboard.DefaultConfig(), b.store, dashboard.Deeds{Emergency: emergency.New(b.store, time.Now)}, b.log)
	if err != nil {
		return err
	}
	pair, err := certs.New(certs.Files{Cert: b.certs.Cert, Key: b.certs.Key}, time.Now, b.log) // nobody is asked for a certificate
	if err != nil {
		return fmt.Errorf("--tls-cert, --tls-key: %w", err)
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
