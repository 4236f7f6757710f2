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
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/link"
	"github.com/robot-platform/robot-ota/sim/robot"
)

// robotOptions are the flags of `ota-sim robot`.
type robotOptions struct {
	id, flash, pty, rfc2217, control string
	firmware                         []string
	timing, wiring, model            string
	noRollback, noStub, ros, verbose bool
	unpaced, secureDownload          bool
	encrypted                        bool
	tableOffset                      uint32
	battery, drain                   float64
	selfTest, start                  time.Duration
	dtls                             dtlsOptions
}

func robotCommand() *cobra.Command {
	var o robotOptions
	c := &cobra.Command{
		Use:   "robot [-- ROS arguments]",
		Short: "Run a simulated robot until interrupted",
		Long: `Run a simulated robot until interrupted.

Its chip is an ESP32-S3 as on the fleet's boards, with the fleet's partition table. Without --flash it
begins as it left the works: the images of --firmware, blank OTA data. With
--flash the flash is that file, kept between runs; it is made when missing.

When the line "ready" is printed, everything that was asked for is served.`,
		Example: `  ota-sim image --version 0.2.0 --output v020.bin
  ota-sim robot --firmware v020.bin --pty /tmp/robot.tty --control /tmp/robot.sock`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRobot(cmd.Context(), o, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&o.id, "robot-id", robot.DefaultID, "id of the robot, which begins the names of its diagnostics")
	f.StringArrayVar(&o.firmware, "firmware", nil, "app image, signed or not, and its slot: FILE[:factory|ota_0|ota_1]; may be given again")
	f.StringVar(&o.flash, "flash", "", "file that is the flash, kept between runs")
	f.StringVar(&o.pty, "pty", "", "serve the serial line as a pseudo terminal behind this symbolic link")
	f.StringVar(&o.rfc2217, "rfc2217", "", "serve the serial line as RFC 2217 at this TCP address, such as 127.0.0.1:0")
	f.StringVar(&o.control, "control", "", "serve the control socket here")
	f.BoolVar(&o.noRollback, "no-rollback", false, "a boot loader built without rollback")
	f.BoolVar(&o.noStub, "no-stub", false, "the flasher stub never reports after its upload")
	f.StringVar(&o.timing, "flash-timing", "real", "how long the flash takes: real or none")
	f.BoolVar(&o.unpaced, "unpaced", false, "bytes arrive at once instead of at the baud rate")
	f.StringVar(&o.wiring, "wiring", "autoreset", "reset lines: autoreset (two transistors) or usb-jtag")
	f.StringVar(&o.model, "chip", "esp32s3", "esp32s3 or esp32")
	f.BoolVar(&o.secureDownload, "secure-download", false, "eFuses: secure download mode")
	f.BoolVar(&o.encrypted, "flash-encryption", false, "eFuses: flash encryption, as far as the loader tells of it")
	f.Uint32Var(&o.tableOffset, "table-offset", espsim.DefaultTableOffset, "where boot loader and table agree that the partition table lies")
	f.Float64Var(&o.battery, "battery", robot.DefaultBattery, "charge to begin with, 0-1")
	f.Float64Var(&o.drain, "drain", robot.DefaultDrain, "charge that is used in an hour: 0.1 is a tenth")
	f.DurationVar(&o.selfTest, "self-test", espsim.DefaultSelfTest, "how long the firmware's self-test takes")
	f.DurationVar(&o.start, "app-start", espsim.DefaultAppStart, "how long the firmware takes to its first word")
	o.dtls.flags(c)
	f.BoolVar(&o.ros, "ros", false, "publish the robot's topics in ROS 2 while the firmware runs")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what the chip does")
	return c
}

// chipConfig is the chip as the flags have it.
func (o robotOptions) chipConfig(log *slog.Logger) (espsim.Config, error) {
	cfg := espsim.Config{
		TableOffset: o.tableOffset, Rollback: !o.noRollback, NoStub: o.noStub, Unpaced: o.unpaced,
		SelfTest: orNone(o.selfTest), AppStart: orNone(o.start), Logger: log,
	}
	cfg.Security.SecureDownload = o.secureDownload
	if o.encrypted {
		cfg.Security.FlashCryptCount = 1
	}
	switch o.model {
	case "esp32s3":
	case "esp32":
		cfg.Model = espsim.ESP32
	default:
		return cfg, fmt.Errorf("--chip %q: want esp32s3 or esp32", o.model)
	}
	switch o.timing {
	case "real":
		cfg.Timing = espsim.RealTiming()
	case "none":
	default:
		return cfg, fmt.Errorf("--flash-timing %q: want real or none", o.timing)
	}
	switch o.wiring {
	case "autoreset":
	case "usb-jtag":
		cfg.Wiring = espsim.USBSerialJTAG
	default:
		return cfg, fmt.Errorf("--wiring %q: want autoreset or usb-jtag", o.wiring)
	}
	return cfg, nil
}

// orNone makes an asked-for zero what Config takes for no time at all.
func orNone(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}

func runRobot(ctx context.Context, o robotOptions, args []string, out, errOut io.Writer) error {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level}))
	cfg, err := o.chipConfig(log)
	if err != nil {
		return err
	}
	serveROS := func(context.Context, *robot.Robot) error { return nil }
	if o.ros {
		if serveROS, err = rosSide(args, log); err != nil {
			return err
		}
	}
	memory, err := o.openFlash(log)
	if err != nil {
		return err
	}
	defer memory.Close()
	cfg.Memory = memory.bytes
	r, err := robot.New(robot.Config{ID: o.id, Chip: cfg, Battery: o.battery, DrainPerHour: o.drain})
	if err != nil {
		return err
	}
	defer r.Close()
	g, ctx := errgroup.WithContext(ctx)
	links, err := o.serveLinks(ctx, g, r, log)
	if err != nil {
		return errors.Join(err, cancelled(g))
	}
	control, err := o.dtls.serve(ctx, g, r, links, robot.Control(r, links), log)
	if err != nil {
		return errors.Join(err, cancelled(g))
	}
	if o.control != "" {
		if err := serveControl(ctx, g, o.control, control); err != nil {
			return errors.Join(err, cancelled(g))
		}
	}
	g.Go(func() error { return serveROS(ctx, r) })
	g.Go(func() error { <-ctx.Done(); return ctx.Err() })
	o.announce(out, links)
	return g.Wait()
}

// cancelled ends a group that has nothing to wait for.
func cancelled(g *errgroup.Group) error {
	g.Go(func() error { return context.Canceled })
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (o robotOptions) announce(out io.Writer, links map[string]string) {
	rollback := "with rollback"
	if o.noRollback {
		rollback = "without rollback"
	}
	fmt.Fprintf(out, "%s: %s, boot loader %s\n", o.id, o.model, rollback)
	for _, kind := range []string{"pty", "rfc2217", "dtls"} {
		if l := links[kind]; l != "" {
			fmt.Fprintf(out, "%s\t%s\n", kind, l)
		}
	}
	if o.control != "" {
		fmt.Fprintf(out, "control\t%s\n", o.control)
	}
	fmt.Fprintln(out, "ready")
}

// serveLinks serves the serial line in the ways asked for.
func (o robotOptions) serveLinks(ctx context.Context, g *errgroup.Group, r *robot.Robot, log *slog.Logger) (map[string]string, error) {
	links := map[string]string{}
	if o.pty != "" {
		p, err := link.OpenPTY(r.Chip(), o.pty, log)
		if err != nil {
			return nil, err
		}
		links["pty"] = p.Path()
		g.Go(func() error { return p.Serve(ctx) })
	}
	if o.rfc2217 != "" {
		s, err := link.ListenRFC2217(ctx, r.Chip(), o.rfc2217, log)
		if err != nil {
			return nil, err
		}
		links["rfc2217"] = "rfc2217://" + s.Addr()
		g.Go(func() error { return s.Serve(ctx) })
	}
	return links, nil
}

// serveControl serves h on a unix socket. A socket that a killed simulator
// left behind is taken over, one that answers is not.
func serveControl(ctx context.Context, g *errgroup.Group, path string, h http.Handler) error {
	if conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return fmt.Errorf("control socket %s: another simulator answers there; stop it or name another --control", path)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		_ = os.Remove(path)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	g.Go(func() error {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("control socket: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := s.Shutdown(late); err != nil {
			return s.Close()
		}
		return nil
	})
	return nil
}
