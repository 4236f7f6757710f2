package main

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// version is set by the linker (-X main.version=…).
var version = ""

// build is the version of this program as far as it is known.
func build() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Say what runs, what goes on, and what stands in the way",
		Args:  cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			if watch {
				return a.watchForEver(c.Context(), cl)
			}
			s, err := cl.Status(c.Context())
			if err != nil {
				return err
			}
			return a.show(s, func(st console.Style) string { return console.Status(s, time.Now(), st) })
		}),
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until Ctrl-C")
	return c
}

func (a *app) watchForEver(ctx context.Context, cl *control.Client) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	err := a.watch(ctx, cl, math.MaxInt64, func(update.Status) error { return nil })
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				ROS     bool   `json:"ros"`
			}{build(), withROS}
			ros := "without ROS 2"
			if withROS {
				ros = "with ROS 2"
			} else if s := installed(); s.there() {
				ros += "; the service is " + s.program
			}
			return a.show(v, func(console.Style) string { return "ota-agent " + v.Version + ", built " + ros + "\n" })
		},
	}
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Name each fault, and print the configuration as the agent would use it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := a.configPath
			if len(args) == 1 {
				path = args[0]
			}
			return a.checkConfig(path)
		},
	})
	return c
}

// tellRoot names the root document with which release metadata begins.
func (a *app) tellRoot(m config.Metadata) error {
	if !m.Required {
		return nil
	}
	b, err := m.ReadRoot()
	if err == nil {
		err = tuf.CheckNext(nil, b)
	}
	if err != nil {
		return fmt.Errorf("metadata.root: %w: put your fleet's root document there (ota-sign tuf init makes it), or say metadata.required: false", err)
	}
	d, err := tuf.Describe(b)
	if err != nil {
		return fmt.Errorf("metadata.root: %w", err)
	}
	a.warn("%s: root %d, %d of %d keys sign", m.Root, d.Version, d.Threshold, len(d.Keys[tuf.RoleRoot]))
	return nil
}

func (a *app) checkConfig(path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	out, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	if a.json {
		if out, err = yaml.YAMLToJSON(out); err != nil {
			return err
		}
	}
	if _, err := a.std.out.Write(out); err != nil {
		return err
	}
	base, err := cfg.Base()
	if err != nil {
		return err
	}
	for _, f := range base.Files {
		a.warn("%s: %d trusted: %v", f.Name, len(f.Keys), image.NewKeyring(f.Keys...).IDs())
	}
	for _, l := range base.Lists {
		a.warn("%s: %d revoked: %v", l.Name, len(l.IDs), l.IDs)
	}
	if err := a.tellRoot(cfg.Metadata); err != nil {
		return err
	}
	a.tellWindows(cfg, time.Now())
	a.warn("%s: no faults", path)
	return nil
}
