package main

import (
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/update"
)

// What answers at server.url decides who is asked, how the token is announced,
// and who says when.
func TestSourceAsConfigured(t *testing.T) {
	for _, tt := range []struct {
		source config.Source
		auth   config.HawkbitAuth
		kind   string
		scheme string
		every  time.Duration
	}{
		{config.SourceOwn, config.AuthTarget, "*updateserver.Client", "Bearer", 6 * time.Hour},
		{config.SourceHawkbit, config.AuthTarget, "*hawkbit.Link", "TargetToken", 0},
		{config.SourceHawkbit, config.AuthGateway, "*hawkbit.Link", "GatewayToken", 0},
	} {
		a := agent{cfg: config.Default(), log: slog.New(slog.DiscardHandler)}
		a.cfg.StateDir = t.TempDir()
		a.cfg.Server.Source, a.cfg.Server.Hawkbit.Auth = tt.source, tt.auth
		s, err := a.source(&url.URL{Scheme: "https", Host: "h"}, nil, robot.NewBoard(), update.New(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := reflect.TypeOf(s).String(); got != tt.kind || a.cfg.TokenScheme() != tt.scheme || a.checkEvery() != tt.every {
			t.Errorf("%s, %s: %s, %s, %s", tt.source, tt.auth, got, a.cfg.TokenScheme(), a.checkEvery())
		}
	}
}

// heard notes steps.
type heard struct {
	name string
	to   *[]string
}

func (h heard) Stepped(_, _ update.Memory, event string) { *h.to = append(*h.to, h.name+" "+event) }

func TestAllObserversHear(t *testing.T) {
	var got []string
	observers{heard{"a", &got}, heard{"b", &got}}.Stepped(update.New(), update.New(), "x")
	if want := []string{"a x", "b x"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	observing(nil, nil).Stepped(update.New(), update.New(), "x")
}
