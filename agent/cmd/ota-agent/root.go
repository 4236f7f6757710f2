package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/control"
)

// app is one call of the program.
type app struct {
	std  streams
	argv []string                           // the whole command line, less the program
	ros  []string                           // the arguments of ROS 2
	wire func(context.Context, agent) error // what `run` runs

	configPath string
	socket     string
	json       bool
	ran        bool // a command was found and its arguments were right
}

const longHelp = `ota-agent keeps the firmware of a robot's ESP32 up to date: it fetches signed
images, proves them, writes them to the inactive slot, boots them on trial, and
confirms them or puts the old firmware back.

"ota-agent run" is the daemon; the other commands talk to it.

` + exitHelp

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "ota-agent",
		Short:         "Over-the-air updates for a robot's ESP32",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if len(a.ros) > 0 && c.Name() != "run" && c.Name() != "doctor" {
				return fmt.Errorf("%s is for `ota-agent run` and `ota-agent doctor` alone", rosFlag)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.std.in)
	root.SetOut(a.std.out)
	root.SetErr(a.std.err)
	f := root.PersistentFlags()
	f.StringVar(&a.configPath, "config", config.DefaultPath, "configuration `FILE`")
	f.StringVar(&a.socket, "socket", "", "control socket `PATH` (default: what the configuration says, or else "+config.DefaultSocket+")")
	f.BoolVar(&a.json, "json", false, "answer in JSON, one object a line where there are several")
	root.AddCommand(a.runCommand(), a.statusCommand(), a.planCommand(), a.triggerCommand(), a.checkCommand(),
		a.cancelCommand(), a.rollbackCommand(), a.inhibitCommand(), a.historyCommand(), a.keysCommand(), a.doctorCommand(), a.configCommand(), a.versionCommand())
	a.note(root)
	return withManual(root)
}

// note makes every command say that it was reached: an error before that is
// one of the command line.
func (a *app) note(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			a.ran = true
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		a.note(sub)
	}
}

// client talks to the agent that flags and configuration name.
func (a *app) client(c *cobra.Command) (*control.Client, error) {
	if a.socket != "" {
		return control.NewClient(a.socket), nil
	}
	cfg, err := config.Load(a.configPath)
	switch {
	case err == nil:
		return control.NewClient(cfg.ControlSocket), nil
	case c.Flags().Changed("config"):
		return nil, err
	case errors.Is(err, config.ErrNoFile), errors.Is(err, fs.ErrPermission):
	default: // the agent that runs may have started before the file was broken
		a.warn("%s has faults (see: ota-agent config check); trying %s", a.configPath, config.DefaultSocket)
	}
	return control.NewClient(config.DefaultSocket), nil
}

// talk runs f with a client.
func (a *app) talk(f func(c *cobra.Command, cl *control.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := a.client(c)
		if err != nil {
			return err
		}
		defer cl.Close()
		return f(c, cl, args)
	}
}

// say writes to the standard output.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.std.out, format+"\n", args...)
	return err
}

// warn writes to the standard error; where that is gone there is nobody left
// to tell.
func (a *app) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(a.std.err, format+"\n", args...)
}

// show writes v as JSON where that was asked for, else the text.
func (a *app) show(v any, text func(console.Style) string) error {
	if a.json {
		return a.showJSON(v)
	}
	_, err := io.WriteString(a.std.out, text(a.style()))
	return err
}

func (a *app) showJSON(v any) error {
	e := json.NewEncoder(a.std.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// terminal is the file behind a stream when that is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// style is what the standard output can show.
func (a *app) style() console.Style {
	_, tty := terminal(a.std.out)
	_, noColor := os.LookupEnv("NO_COLOR")
	return console.Style{Color: tty && !noColor && os.Getenv("TERM") != "dumb", Unicode: tty && utf8Locale()}
}

// utf8Locale follows POSIX: the first of these that is set counts.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// screen shows a state as it changes.
func (a *app) screen() *console.Screen {
	f, tty := terminal(a.std.out)
	if !tty || os.Getenv("TERM") == "dumb" {
		return console.NewScreen(a.std.out, a.style(), nil)
	}
	return console.NewScreen(f, a.style(), func() int {
		w, _, err := term.GetSize(int(f.Fd()))
		if err != nil || w <= 0 {
			return 80
		}
		return w
	})
}

// interruptible ends with the first signal; a second one kills.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
