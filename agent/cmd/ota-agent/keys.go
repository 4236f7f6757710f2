package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/agent/internal/console"
	"github.com/robot-platform/robot-ota/agent/internal/control"
	"github.com/robot-platform/robot-ota/agent/internal/engine"
	"github.com/robot-platform/robot-ota/agent/internal/mqttlink"
	"github.com/robot-platform/robot-ota/agent/internal/robot"
	"github.com/robot-platform/robot-ota/agent/internal/rosnode"
	"github.com/robot-platform/robot-ota/agent/internal/trust"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/firmware/keyring"
)

func (a *app) keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "List the keys whose signatures count, and those that are revoked",
		Long: `List the keys that the running agent trusts and those that are revoked, each with
the files or the keyring document that say so; the version of that document; and
the key that the running firmware embeds, where it says so.`,
		Args: cobra.NoArgs,
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, _ []string) error {
			r, err := cl.Keys(c.Context())
			if err != nil {
				return err
			}
			return a.show(r, func(st console.Style) string { return console.Keys(r, time.Now(), st) })
		}),
	}
	c.AddCommand(&cobra.Command{
		Use:   "update FILE…",
		Short: "Add and revoke keys by signed keyring documents",
		Long: `Hand the agent keyring documents, as ota-sign keyring makes them. One is taken when
trusted keys have signed it (trust.threshold of them) and its version is higher
than the one in force. It holds at once and after every restart, also for an
image that was verified before and waits. - reads the standard input.

A robot that was away for several of them takes them one after the other: name
them in their order. Of several files those that are older are passed over.

` + exitHelp,
		Example: `  ota-agent keys update /media/usb/keyring-7.json
  ota-agent keys update keyring-5.json keyring-6.json keyring-7.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.talk(func(c *cobra.Command, cl *control.Client, args []string) error {
			return a.updateKeys(c.Context(), cl, args)
		}),
	})
	return c
}

// updateKeys hands the documents on, up to the first that is refused.
func (a *app) updateKeys(ctx context.Context, cl *control.Client, files []string) error {
	var all control.KeysUpdated
	for i, file := range files {
		document, err := a.readDocument(file)
		if err != nil {
			return err
		}
		u, err := cl.UpdateKeys(ctx, document)
		var p *control.Problem
		if errors.As(err, &p) && p.Code == control.Code(keyring.NotNewer) && i+1 < len(files) {
			a.warn("%s: passed over: %v", file, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = control.KeysUpdated{Changed: all.Changed || u.Changed, Keys: u.Keys}
	}
	return a.show(all, func(st console.Style) string {
		said := fmt.Sprintf("Version %d is in force now.\n", all.Keys.Version)
		if !all.Changed {
			said = fmt.Sprintf("Version %d was in force already; nothing has changed.\n", all.Keys.Version)
		}
		return said + console.Keys(all.Keys, time.Now(), st)
	})
}

// readDocument reads what the agent is to judge.
func (a *app) readDocument(path string) ([]byte, error) {
	in := a.std.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, keyring.MaxDocument+1))
	if err == nil && len(b) > keyring.MaxDocument {
		err = fmt.Errorf("it has more than the %d bytes of a keyring document", keyring.MaxDocument)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// keys is the ring in force together with what the firmware says of its own
// key.
type keys struct {
	*trust.Store
	board *robot.Board
	log   *slog.Logger

	mu     sync.Mutex
	warned string // the untrusted key that the log knows of
}

// ring opens what is in force, and says who is trusted.
func (a agent) ring(board *robot.Board) (*keys, error) {
	store, err := trust.Open(trust.Config{Dir: a.cfg.StateDir, Base: a.base}, a.log)
	if err != nil {
		return nil, err
	}
	r := store.Report()
	a.log.Info("keys in force", "keyring", r.Version, "trusted", keyring.IDs(r.Trusted), "revoked", keyring.IDs(r.Revoked), "threshold", r.Threshold)
	for _, w := range r.Warnings() {
		a.log.Warn("keys", "warning", w)
	}
	return &keys{Store: store, board: board, log: a.log}, nil
}

// Report is what is in force, the firmware's key included.
func (k *keys) Report() keyring.Report {
	return k.Store.Report().Embeds(k.board.Facts().Firmware.SigningKey)
}

// onNode puts the keys into the agent's own diagnostics.
func (k *keys) onNode(c rosnode.Config) rosnode.Config {
	more := c.Vitals
	c.Vitals = func() []rosnode.Vital {
		r := k.Report()
		k.warn(r)
		return append(more(), vitalsOf(r)...)
	}
	c.Warnings = func() []string { return k.Report().Warnings() }
	return c
}

func vitalsOf(r keyring.Report) []rosnode.Vital {
	v := []rosnode.Vital{
		{Key: "keyring_version", Value: strconv.FormatUint(r.Version, 10)},
		{Key: "trusted_keys", Value: strings.Join(keyring.IDs(r.Trusted), " ")},
		{Key: "revoked_keys", Value: strings.Join(keyring.IDs(r.Revoked), " ")},
	}
	if r.Refused != nil {
		v = append(v, rosnode.Vital{Key: "keyring_refused", Value: r.Refused.Text})
	}
	if r.Firmware != nil {
		v = append(v, rosnode.Vital{Key: "firmware_key", Value: r.Firmware.Key})
	}
	return v
}

// warn logs once that the firmware embeds a key that is not trusted.
func (k *keys) warn(r keyring.Report) {
	key := ""
	if r.Firmware != nil && !r.Firmware.Trusted {
		key = r.Firmware.Key
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if key != "" && key != k.warned {
		k.log.Warn("the firmware embeds a key that is not trusted here", "key", key, "trusted", keyring.IDs(r.Trusted))
	}
	k.warned = key
}

// onBroker is what ota/status tells of the keys.
func (k *keys) onBroker() mqttlink.Keys {
	r := k.Report()
	out := mqttlink.Keys{Keyring: r.Version, Trusted: keyring.IDs(r.Trusted), Revoked: keyring.IDs(r.Revoked)}
	if r.Firmware != nil {
		out.Firmware = r.Firmware.Key
	}
	if r.Refused != nil {
		out.Refused = r.Refused.Code
	}
	return out
}

// keyringSource is an update server that hands its keyring out by itself.
type keyringSource interface {
	RefreshKeyring(ctx context.Context) error
}

// refreshed is the answer to a scheduled check that an update in progress, or
// the observation of one, has kept from asking: the keyring is asked for all
// the same, because a revocation must not wait for the end of an update.
func (a agent) refreshed(ctx context.Context, from engine.Source, err error) error {
	var busy *update.BusyError
	source, ok := from.(keyringSource)
	if !ok || !errors.As(err, &busy) {
		return err
	}
	if kerr := source.RefreshKeyring(ctx); kerr != nil {
		return errors.Join(err, kerr)
	}
	return err
}
