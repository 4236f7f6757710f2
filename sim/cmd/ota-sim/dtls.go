package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/sim/dtls"
	"github.com/robot-platform/robot-ota/sim/robot"
)

// dtlsOptions are the flags of the firmware's DTLS server.
type dtlsOptions struct {
	address, identity, key string
	failures               float64
}

func (o *dtlsOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.address, "dtls", "", "serve DTLS at this UDP address, such as 127.0.0.1:0, while the firmware runs")
	f.StringVar(&o.identity, "dtls-identity", "robot_a14f4201", "identity of the DTLS key")
	f.StringVar(&o.key, "dtls-key", "000102030405060708090a0b0c0d0e0f", "the DTLS key, in hex")
	f.Float64Var(&o.failures, "dtls-failures", 0, "part of the DTLS handshakes that fail, 0-1")
}

// dtlsFailures is the request of POST /dtls.
type dtlsFailures struct {
	Failures float64 `json:"failures"`
}

// serve starts the server, where one is asked for, and adds it to the links
// and to what the control socket does.
func (o *dtlsOptions) serve(ctx context.Context, g *errgroup.Group, r *robot.Robot, links map[string]string, next http.Handler, log *slog.Logger) (http.Handler, error) {
	if o.address == "" {
		return next, nil
	}
	key, err := hex.DecodeString(o.key)
	if err != nil || len(key) != 16 {
		return nil, errors.New("--dtls-key: want 32 hex digits")
	}
	s, err := dtls.Listen(dtls.Config{
		Address: o.address, Identity: o.identity, Key: key, Log: log,
		Up: func() bool { return r.Chip().App().Running },
	})
	if err != nil {
		return nil, err
	}
	g.Go(func() error { return s.Serve(ctx) })
	if err := s.SetFailures(o.failures); err != nil {
		return nil, fmt.Errorf("--dtls-failures: %w", err)
	}
	links["dtls"] = s.Addr()
	m := http.NewServeMux()
	m.Handle("/", next)
	m.HandleFunc("POST /dtls", func(w http.ResponseWriter, req *http.Request) {
		var q dtlsFailures
		d := json.NewDecoder(io.LimitReader(req.Body, 4096))
		d.DisallowUnknownFields()
		err := d.Decode(&q)
		if err == nil {
			err = s.SetFailures(q.Failures)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	m.HandleFunc("GET /dtls", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Count())
	})
	return m, nil
}

func dtlsCommand() *cobra.Command {
	var q dtlsFailures
	c := post("dtls --failures N", "Let a part of the DTLS handshakes fail", "/dtls",
		func(*cobra.Command) (any, error) { return q, nil })
	c.Flags().Float64Var(&q.Failures, "failures", 0, "part that fails, 0-1, evenly spread")
	_ = c.MarkFlagRequired("failures")
	return c
}
