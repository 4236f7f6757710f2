package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

// agent is what the daemon is made from.
type agent struct {
	cfg     config.Config
	base    keyring.Base // whom the configuration trusts
	version string       // of this program
	rosArgs []string     // --ros-args … as they stood on the command line
	log     *slog.Logger
	// ready is called when everything answers that others may ask.
	ready func()
}

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run [--ros-args …]",
		Short: "Be the agent: daemon and ROS 2 node",
		Long: `Be the agent: daemon and ROS 2 node, until SIGTERM or Ctrl-C.

Arguments after --ros-args go to the ROS 2 node as they are. Under systemd
(Type=notify) it says when it is ready. The log goes to the standard error.`,
		Example: `  ota-agent run --config /etc/robot-ota/agent.yaml
  ota-agent run --ros-args -r __ns:=/r1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if s := installed(); !withROS && s.there() {
				return s.become(a.argv)
			}
			return a.run(c.Context())
		},
	}
}

func (a *app) run(ctx context.Context) error {
	cfg, err := config.Load(a.configPath)
	if err != nil {
		return err
	}
	if a.socket != "" {
		cfg.ControlSocket = a.socket
	}
	base, err := cfg.Base()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	sparing()
	log := newLog(a.std.err, cfg.Log)
	log.Info("starting", "version", build(), "config", a.configPath, "robot", cfg.Robot.ID, "sku", cfg.Robot.SKU, "port", cfg.Serial.Port)
	for _, f := range base.Files {
		log.Info("trusting", "file", f.Name, "keys", image.NewKeyring(f.Keys...).IDs())
	}
	for _, l := range base.Lists {
		log.Info("revoking", "file", l.Name, "keys", l.IDs)
	}
	if !withROS {
		log.Warn("this build has no ROS 2: there is no node, nothing is heard of the robot, and so no gate will open; build with -tags ros2")
	}
	ag := agent{cfg: cfg, base: base, version: build(), rosArgs: a.ros, log: log, ready: func() {
		log.Info("ready", "socket", cfg.ControlSocket)
		notify(log, daemon.SdNotifyReady)
	}}
	stopping := context.AfterFunc(ctx, func() {
		log.Info("stopping")
		notify(log, daemon.SdNotifyStopping)
	})
	defer stopping()
	err = a.wire(ctx, ag)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("the agent ended: %w", err)
}

// garbage is how much of it there may be before it is collected, in percent of
// what is in use. The agent makes little, so collecting twice as often as Go
// does by itself is cheaper than the 1.5 MiB that would lie about.
const garbage = 50

// sparing sets the collector for a small computer, unless the operator did.
func sparing() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}

// notify tells systemd, where that started us.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd does not listen", "state", state, "err", err)
	}
}

// newLog writes to w. The journal has its own time stamps.
func newLog(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration was validated
	}
	o := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, at slog.Attr) slog.Attr {
			if len(groups) == 0 && at.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return at
		}
	}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
