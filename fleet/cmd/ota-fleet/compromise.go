package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/fleet/internal/emergency"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

func compromiseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compromise",
		Short: "Replace a key that was stolen, step by step",
		Long: `Replace a key that was stolen, in five steps. Each counts as done when it can be
seen to be, so the work is taken up at any of them; status says which is next, and
with which commands.

  revoke    here: nothing that the key signed is offered or served any more
  keyring   robots are offered a keyring document that revokes the key and trusts
            another. The old key signs it: its last use
  release   each SKU is offered firmware that another key signed, and that embeds
            that key. The old key signs no firmware any more: robots that have the
            keyring refuse it, and this server does not take it, because the thief
            can sign as well
  devices   every robot reports the keyring, and firmware that embeds another key;
            a robot that does not say so does not count
  destroy   the old private key is destroyed; done says so and closes the incident

Firmware that checks signatures itself, on a way other than the agent, may need one
last image that the old key signs: it cannot come from this server.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(compromiseStartCommand(), compromiseStatusCommand(), compromiseExceptCommand(), compromiseDoneCommand())
	return cmd
}

func compromiseStartCommand() *cobra.Command {
	var at place
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "start --data DIR --reason TEXT KEY",
		Short: "Revoke a key at once, and say what comes next",
		Long: `Revoke a key, named by its id (16 hex digits) or its file, for ever: a running
server neither offers nor serves what it signed from its next request on, and
rollouts of that are halted. An incident is opened. Once more changes nothing.`,
		Args: oneArgument("the key: its id or its file"),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			key, err := keyID(args[0])
			if err != nil {
				return err
			}
			if err := confirm(cmd, yes, "Revoke key %s for ever, and hide what it signed?", key); err != nil {
				return err
			}
			e := emergency.New(s, time.Now)
			if _, err := e.Compromised(cmd.Context(), operator(), key, reason); err != nil {
				return err
			}
			status, err := e.KeyStatus(cmd.Context(), key)
			if err != nil {
				return err
			}
			return tellKey(cmd.OutOrStdout(), status, at)
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "what happened")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	need(cmd, "reason")
	return cmd
}

func compromiseStatusCommand() *cobra.Command {
	var at place
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status --data DIR [KEY]",
		Short: "Show which steps are done, who lacks the new key, and what comes next",
		Args:  cobra.MaximumNArgs(1),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			key, err := compromised(cmd.Context(), s, args)
			if err != nil {
				return err
			}
			status, err := emergency.New(s, time.Now).KeyStatus(cmd.Context(), key)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), status)
			}
			return tellKey(cmd.OutOrStdout(), status, at)
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, with all robots that lack the new key")
	return cmd
}

func compromiseExceptCommand() *cobra.Command {
	var at place
	var reason string
	var robots []string
	cmd := &cobra.Command{
		Use:   "except --data DIR --robot ID --reason TEXT [KEY]",
		Short: "Do not wait for robots that will not get the new key",
		Args:  cobra.MaximumNArgs(1),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			key, err := compromised(cmd.Context(), s, args)
			if err != nil {
				return err
			}
			return emergency.New(s, time.Now).Except(cmd.Context(), operator(), key, reason, robots...)
		}),
	}
	at.flags(cmd)
	cmd.Flags().StringArrayVar(&robots, "robot", nil, "`ID` of the robot; may be given more than once")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept with the incident")
	need(cmd, "robot", "reason")
	return cmd
}

func compromiseDoneCommand() *cobra.Command {
	var at place
	var yes bool
	cmd := &cobra.Command{
		Use:   "done --data DIR [KEY]",
		Short: "Say that the old private key is destroyed, and close the incident",
		Long: `Say that the old private key, with all copies and backups, is destroyed, and close
the incident. Refused until every robot has the new key or is excepted.`,
		Args: cobra.MaximumNArgs(1),
		RunE: with(at.existing, func(cmd *cobra.Command, args []string, s *store.Store) error {
			key, err := compromised(cmd.Context(), s, args)
			if err != nil {
				return err
			}
			if err := confirm(cmd, yes, "Is the private key of %s destroyed, with all copies?", key); err != nil {
				return err
			}
			return emergency.New(s, time.Now).Replaced(cmd.Context(), operator(), key)
		}),
	}
	at.flags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "it is; do not ask")
	return cmd
}

// keyID is the id that is named, by itself or by a file with one key.
func keyID(named string) (string, error) {
	ids, err := keyIDs(named)
	if err == nil && len(ids) != 1 {
		err = fmt.Errorf("%s holds %d keys: name one by its id: %s", named, len(ids), strings.Join(ids, ", "))
	}
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// compromised is the key that is named, or the only one that is being replaced.
func compromised(ctx context.Context, s *store.Store, args []string) (string, error) {
	if len(args) == 1 {
		return keyID(args[0])
	}
	open, err := s.Incidents(ctx, true)
	if err != nil {
		return "", err
	}
	var keys []string
	for _, i := range open {
		if key := strings.TrimPrefix(i.ID, emergency.KeyIncident("")); i.Kind == emergency.KindKeyCompromise && keyring.IsID(key) {
			keys = append(keys, key)
		}
	}
	switch len(keys) {
	case 1:
		return keys[0], nil
	case 0:
		return "", errors.New("no key is being replaced: ota-fleet key compromise start begins")
	}
	return "", fmt.Errorf("several keys are being replaced, name one: %s", strings.Join(keys, ", "))
}

func tellKey(out io.Writer, s emergency.KeyStatus, at place) error {
	fmt.Fprintf(out, "incident %s: %s\nhidden: %s\n", s.Incident.ID, s.Incident.Reason, orNone(s.Hidden))
	for n, step := range emergency.Steps() {
		state := "to do"
		switch {
		case slices.Contains(s.Done, step):
			state = "done " + when(s.Since[step])
		case s.Next == step:
			state = "next"
		}
		fmt.Fprintf(out, "%d %-8s %s\n", n+1, step, strings.TrimSuffix(state, " -"))
	}
	fmt.Fprintf(out, "robots: %d of %d have the new key, %d are excepted, %d are left\n", s.Have, s.Robots, len(s.Without)-s.Left, s.Left)
	if err := tellWithout(out, s.Without); err != nil {
		return err
	}
	_, err := io.WriteString(out, advice(s, at))
	return err
}

func tellWithout(out io.Writer, robots []emergency.KeyRobot) error {
	const most = 20
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for n, r := range robots {
		if n == most {
			break
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Robot, r.Why, cmp.Or(r.Except, "-"))
	}
	if err := w.Flush(); err != nil || len(robots) <= most {
		return err
	}
	_, err := fmt.Fprintf(out, "and %d more: --json names all\n", len(robots)-most)
	return err
}

// advice is what to do next, with the commands.
func advice(s emergency.KeyStatus, at place) string {
	switch s.Next {
	case emergency.StepRevoke:
		return "\nNext: revoke the key here.\n  ota-fleet key revoke --data " + at.data + " --reason TEXT " + s.Key + "\n"
	case emergency.StepKeyring:
		return `
Next: make another key and a keyring that trusts it and revokes the old one, on the
build server. The old key signs it, for the last time. LAST.json is the keyring
before; where there was none, --version 1 instead of --from.
  ota-sign keygen --key new-key.pem --pub new
  ota-sign keyring create --from LAST.json --add new.der --revoke ` + s.Key + ` --key OLD-PRIVATE.pem --output NEXT.json
  ota-fleet keyring --data ` + at.data + ` --key OLD-PUBLIC.der NEXT.json
`
	case emergency.StepRelease:
		return `
Next: build firmware that embeds the new public key, sign it with the new key, and
offer it. SKUs without: ` + strings.Join(s.Missing, ", ") + `
  ota-sign sign --input FIRMWARE.bin --key new-key.pem --output SIGNED.bin --version VERSION
  ota-fleet publish --data ` + at.data + ` --sku ` + strings.Join(s.Missing, ",") + ` --stable SIGNED.bin
`
	case emergency.StepDevices:
		return `
Next: wait until the robots that are left have it. Robots that no server reaches:
ota-agent keys update NEXT.json, on the robot. Those that will not get it:
  ota-fleet key compromise except --data ` + at.data + ` --robot ID --reason TEXT ` + s.Key + `
`
	case emergency.StepDestroy:
		return `
Next: destroy the old private key, with all copies, and take the old public key out
of the robots' trust.keys when they are next configured.
  ota-fleet key compromise done --data ` + at.data + ` ` + s.Key + `
`
	}
	return "\nDone: the incident is closed.\n"
}
