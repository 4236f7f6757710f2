// Command bench loads a real ota-fleet with the robots of a large fleet, on one
// machine.
//
// # Parties
//
//	ota-fleet   the server, a process of its own, over SQLite or PostgreSQL
//	mosquitto   the robots' broker, a process of its own
//	bench       the robots: each its own token, and over MQTT its own connection
//
// # What is measured
//
//	check       GET /v1/check with a token, over connections that are kept
//	handshake   the same, each over a TLS connection of its own, as a robot does
//	            that asks every six hours
//	report      POST /v1/report: a status and the counts of a robot's health
//	call back   from `ota-fleet rollback` until the last robot has its command
//
// Times are a client's, from the request until the answer was read; the memory is
// what the server has resident at the end (VmHWM and VmRSS of /proc), its CPU that
// of the whole process. Clients, broker and server share the machine, so what a
// server could do by itself is more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/benchtable"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	program, mosquitto, db, rows string
	robots, connections          int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.program, "ota-fleet", "bin/ota-fleet", "the server's program")
	f.StringVar(&o.mosquitto, "mosquitto", os.Getenv("ROBOT_OTA_MOSQUITTO"), "the broker's program (or $ROBOT_OTA_MOSQUITTO); empty: no call back")
	f.StringVar(&o.db, "db", "", "an empty PostgreSQL, postgres://…; empty: SQLite")
	f.StringVar(&o.rows, "rows", "", "write the rows of make bench's table to this file, too")
	f.IntVar(&o.robots, "robots", 10_000, "robots, 100 to 20000")
	f.IntVar(&o.connections, "connections", 64, "connections at a time, 1 to 1000")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.robots < 100 || o.robots > 20_000 || o.connections < 1 || o.connections > 1000 {
		return fmt.Errorf("-robots %d -connections %d: want 100 to 20000 robots over 1 to 1000 connections", o.robots, o.connections)
	}
	return measure(ctx, o, out)
}

// measure does everything once and prints a line for each.
func measure(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "ota-fleet-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	began := time.Now()
	p, err := newPlant(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	fmt.Fprintf(out, "%d robots registered in %s; %d connections at a time\n\n", o.robots, time.Since(began).Round(time.Millisecond), o.connections)
	fmt.Fprintf(out, "%-10s %9s %12s %9s %9s %9s %12s %12s\n", "", "requests", "a second", "p50", "p99", "max", "server CPU", "memory")
	var rows []benchtable.Row
	for _, l := range []struct {
		name  string
		fresh bool
		ask   func(robot int) request
	}{
		{"check", false, p.check}, {"handshake", true, p.check}, {"report", false, p.minute(1)}, {"report again", false, p.minute(2)},
	} {
		r, err := p.load(ctx, l.fresh, l.ask)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		fmt.Fprintf(out, "%-12s %7d %12.0f %9s %9s %9s %12s %9.1f MiB\n", l.name, r.requests, r.rate, r.p50, r.p99, r.max, r.cpu, r.resident)
		rows = append(rows, r.row(l.name))
	}
	if o.mosquitto == "" {
		fmt.Fprintln(out, "\nno broker is named, so nothing is called back")
	} else {
		r, err := p.callBack(ctx, out)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	if o.rows == "" {
		return nil
	}
	return benchtable.Write(o.rows, rows)
}
