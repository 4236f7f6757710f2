package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/sim/broker"
)

// brokerOptions are the flags of `ota-sim broker`.
type brokerOptions struct {
	cfg                       broker.Config
	passwords, program, state string
	verbose                   bool
}

func brokerCommand() *cobra.Command {
	var o brokerOptions
	c := &cobra.Command{
		Use:   "broker --tls-cert FILE --tls-key FILE --passwords FILE",
		Short: "Run the fleet's MQTT broker, for a demonstration or a test",
		Long: `Run the fleet's MQTT broker until interrupted, for a demonstration or a test;
a fleet runs Mosquitto.

Clients come by TLS, with the password of their name or, at --listen-cert, with
a certificate whose common name is theirs. A robot reaches the topics below
fleet/{its name}/ alone, the operator all.

The broker in this program forgets everything when it ends. With --program
mosquitto a Mosquitto takes this process over, with the same rules, and keeps
sessions and messages in --state.`,
		Example: `  ota-fleet dev-cert --dir tls
  (umask 077; printf 'operator:%s\nrobot_01:%s\n' secret hidden >passwords)
  ota-sim broker --tls-cert tls/server.pem --tls-key tls/server-key.pem --passwords passwords`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBroker(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.cfg.ByPassword, "listen", "127.0.0.1:8883", "address for clients with a password")
	f.StringVar(&o.cfg.ByCert, "listen-cert", "", "address for clients with a certificate")
	f.StringVar(&o.cfg.CertFile, "tls-cert", "", "certificate of the broker, PEM")
	f.StringVar(&o.cfg.KeyFile, "tls-key", "", "its private key, PEM")
	f.StringVar(&o.cfg.CAFile, "client-ca", "", "authority of the clients' certificates, PEM; with --listen-cert")
	f.StringVar(&o.passwords, "passwords", "", "file of lines name:password, mode 0600")
	f.StringVar(&o.cfg.Operator, "operator", "operator", "name of the user who reaches everything")
	f.StringVar(&o.program, "program", "embedded", "embedded, mosquitto, or auto: Mosquitto where it is installed")
	f.StringVar(&o.state, "state", "", "folder for Mosquitto's configuration and what it keeps")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log who comes and goes")
	_ = c.MarkFlagRequired("tls-cert")
	_ = c.MarkFlagRequired("tls-key")
	return c
}

func runBroker(ctx context.Context, o brokerOptions, out, errOut io.Writer) error {
	if o.passwords != "" {
		users, err := broker.ReadUsers(o.passwords)
		if err != nil {
			return fmt.Errorf("--passwords: %w", err)
		}
		o.cfg.Users = users
	}
	program := ""
	var err error
	switch o.program {
	case "embedded":
	case "mosquitto":
		if program, err = broker.FindMosquitto(); err != nil {
			return err
		}
	case "auto":
		program, _ = broker.FindMosquitto()
	default:
		return fmt.Errorf("--program %q: want embedded, mosquitto or auto", o.program)
	}
	if program != "" {
		return becomeMosquitto(o, program, out)
	}
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelInfo
	}
	b, err := broker.Open(o.cfg, slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level})))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "broker\tembedded (mochi)")
	for _, way := range []struct{ name, address string }{{"password", b.ByPassword()}, {"certificate", b.ByCert()}} {
		if way.address != "" {
			fmt.Fprintf(out, "%s\t%s\n", way.name, way.address)
		}
	}
	fmt.Fprintln(out, "ready")
	<-ctx.Done()
	return errors.Join(ctx.Err(), b.Close())
}

// becomeMosquitto puts Mosquitto in this process' place, so that whoever ends
// this process ends it.
func becomeMosquitto(o brokerOptions, program string, out io.Writer) error {
	if o.state == "" {
		return errors.New("--state: Mosquitto needs a folder for what it keeps")
	}
	for _, path := range []*string{&o.state, &o.cfg.CertFile, &o.cfg.KeyFile, &o.cfg.CAFile} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if *path != "" {
			*path = abs
		}
	}
	args, err := broker.Mosquitto(o.cfg, o.state)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "broker\tMosquitto (%s)\n", program)
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, append([]string{program}, args...), os.Environ()))
}
