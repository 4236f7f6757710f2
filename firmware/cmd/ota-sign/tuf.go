package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

func tufCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tuf",
		Short: "Sign which releases the fleet's owner stands for, and until when",
		Long: `Make and sign release metadata (TUF, theupdateframework.io): with it robots notice
old answers that are replayed and new ones that are held back, which image
signatures alone do not show.

Three kinds of keys, each made with ota-sign keygen:
  root     say which keys count. Held offline by several people; most of them
           have to sign (--threshold), so that one that is stolen or lost does
           no harm. Robots get the first root document with their configuration.
  targets  signs the list of releases. Here, or with the update server.
  online   lies with the update server, which signs every few hours that the list
           is still the newest.
Images keep their own signature (ota-sign sign), by other keys.`,
		Example: `  ota-sign tuf init --root a.der --root b.der --root c.der --targets t.der --online o.der --output 1.root.json
  ota-sign tuf sign --key a.pem 1.root.json      # then another holder: --key b.pem
  ota-fleet metadata import --data DIR 1.root.json
  ota-sign tuf rotate --from 1.root.json --remove-online o.der --add-online p.der --output 2.root.json
  ota-sign tuf verify --root 1.root.json 2.root.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(tufInitCommand(), tufRotateCommand(), tufSignCommand(), tufVerifyCommand(), tufInspectCommand())
	return cmd
}

const day = 24 * time.Hour

// rootFor is how long a root document is valid unless it is said: its holders
// have to come together once in that time.
const rootFor = 365 // days

func tufInitCommand() *cobra.Command {
	var root, targets, online []string
	var threshold, days int
	var output string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init --root PUBLIC… --targets PUBLIC… --online PUBLIC… --output FILE",
		Short: "Make a fleet's first root document, to be signed",
		Long: `Make a fleet's first root document, to be signed by most of the root keys. Each
holder looks at it (ota-sign tuf inspect) and signs (ota-sign tuf sign).`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			p := tuf.Plan{Version: 1, Threshold: threshold}
			var err error
			for _, set := range []struct {
				paths []string
				into  *[]*ecdsa.PublicKey
			}{{root, &p.Root}, {targets, &p.Targets}, {online, &p.Online}} {
				if *set.into, err = ecKeys(set.paths); err != nil {
					return fmt.Errorf("make a root document: %w", err)
				}
			}
			if threshold == 0 {
				p.Threshold = len(p.Root)/2 + 1
			}
			if err := writeRoot(p, days, output, slices.Concat(root, targets, online)...); err != nil {
				return fmt.Errorf("make a root document: %w", err)
			}
			return tellTUF(cmd.OutOrStdout(), output, nil, asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&root, "root", nil, "`PUBLIC` key of a holder of the root (DER or PEM); give it once for each")
	f.StringArrayVar(&targets, "targets", nil, "`PUBLIC` key that signs the list of releases; of several any one does")
	f.StringArrayVar(&online, "online", nil, "`PUBLIC` key of the update server; of several any one does")
	f.IntVar(&threshold, "threshold", 0, "how many root keys have to sign; 0: more than half of them")
	rootFlags(cmd, &days, &output, &asJSON)
	need(cmd, "root", "targets", "online", "output")
	return cmd
}

func rootFlags(cmd *cobra.Command, days *int, output *string, asJSON *bool) {
	cmd.Flags().IntVar(days, "days", rootFor, "for how many days it is valid: a next one has to be signed in time")
	cmd.Flags().StringVar(output, "output", "", "`FILE` to write")
	cmd.Flags().BoolVar(asJSON, "json", false, "report as JSON")
}

// change is what a next root document has other than the one before.
type change struct {
	from                                                                    string
	addRoot, removeRoot, addTargets, removeTargets, addOnline, removeOnline []string
	threshold                                                               int
}

func tufRotateCommand() *cobra.Command {
	var c change
	var days int
	var output string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate --from OLD [--add-… PUBLIC] [--remove-… ID] [--threshold N] --output FILE",
		Short: "Make the next root document, to be signed",
		Long: `Make the next root document: the keys of the one before with the changes, valid
anew. Without a change it only lives longer. As many of the old root keys have to
sign it as the old document says, and as many of its own as it says itself.

After a theft: --remove-online takes what a stolen online key has signed out of
force, --remove-targets a stolen list; then publish again.`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			if err := c.make(days, output); err != nil {
				return fmt.Errorf("make the next root document: %w", err)
			}
			return tellTUF(cmd.OutOrStdout(), output, nil, asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&c.from, "from", "", "the root document before: `OLD`")
	f.StringArrayVar(&c.addRoot, "add-root", nil, "`PUBLIC` key of a further holder of the root; may be given more than once")
	f.StringArrayVar(&c.removeRoot, "remove-root", nil, "`ID` or public key file of a root key that counts no more")
	f.StringArrayVar(&c.addTargets, "add-targets", nil, "`PUBLIC` key that may sign the list of releases")
	f.StringArrayVar(&c.removeTargets, "remove-targets", nil, "`ID` or public key file that may no more")
	f.StringArrayVar(&c.addOnline, "add-online", nil, "`PUBLIC` key of the update server")
	f.StringArrayVar(&c.removeOnline, "remove-online", nil, "`ID` or public key file that counts no more")
	f.IntVar(&c.threshold, "threshold", 0, "how many root keys have to sign from then on; 0: as before")
	rootFlags(cmd, &days, &output, &asJSON)
	need(cmd, "from", "output")
	return cmd
}

func (c change) make(days int, output string) error {
	old, err := bounded.File(c.from, tuf.MaxRoot)
	if err != nil {
		return err
	}
	d, err := tuf.ParseRoot(old)
	if err != nil {
		return fmt.Errorf("%s: %w", c.from, err)
	}
	p, err := tuf.PlanOf(d)
	if err != nil {
		return err
	}
	for _, set := range []struct {
		flag        string
		add, remove []string
		of          *[]*ecdsa.PublicKey
	}{
		{"root", c.addRoot, c.removeRoot, &p.Root}, {"targets", c.addTargets, c.removeTargets, &p.Targets}, {"online", c.addOnline, c.removeOnline, &p.Online},
	} {
		gone, err := namedKeys(set.remove)
		if err != nil {
			return fmt.Errorf("--remove-%s: %w", set.flag, err)
		}
		for _, id := range gone {
			n := len(*set.of)
			*set.of = slices.DeleteFunc(*set.of, func(k *ecdsa.PublicKey) bool { return string(tuf.NameOf(k)) == id })
			if len(*set.of) == n {
				return fmt.Errorf("--remove-%s: the document names no such key %s", set.flag, id)
			}
		}
		fresh, err := ecKeys(set.add)
		if err != nil {
			return fmt.Errorf("--add-%s: %w", set.flag, err)
		}
		*set.of = append(*set.of, fresh...)
	}
	p.Version++
	if c.threshold != 0 {
		p.Threshold = c.threshold
	}
	return writeRoot(p, days, output, c.from)
}

// writeRoot writes what is to be signed.
func writeRoot(p tuf.Plan, days int, output string, takes ...string) error {
	if days < 1 || days > 3650 {
		return fmt.Errorf("--days %d: want 1 to 3650", days)
	}
	if err := mayReplace(output, takes...); err != nil {
		return err
	}
	p.Expires = time.Now().Add(time.Duration(days) * day)
	b, err := tuf.NewRoot(p)
	if err != nil {
		return err
	}
	return replace(output, b)
}

// ecKeys reads public keys from files.
func ecKeys(paths []string) ([]*ecdsa.PublicKey, error) {
	keys, err := readKeys(paths)
	if err != nil {
		return nil, err
	}
	out := make([]*ecdsa.PublicKey, 0, len(keys))
	for _, k := range keys {
		public, err := x509.ParsePKIXPublicKey(k.DER())
		ec, ok := public.(*ecdsa.PublicKey)
		if err != nil || !ok {
			return nil, fmt.Errorf("key %s cannot be used (%w)", k.ID, err)
		}
		out = append(out, ec)
	}
	return out, nil
}

func tufSignCommand() *cobra.Command {
	var keys []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign --key PRIVATE DOCUMENT",
		Short: "Add a signature to a root document or a list of releases",
		Long: `Add a signature to a root document (ota-sign tuf init, rotate) or to a list of
releases (ota-fleet metadata draft), in its file. Look at it before you sign:
ota-sign tuf inspect DOCUMENT.`,
		Args: oneTUF,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			for _, key := range keys {
				warnReadable(cmd, key)
				if err := signTUF(args[0], key); err != nil {
					return fmt.Errorf("sign %s: %w", args[0], err)
				}
			}
			return tellTUF(cmd.OutOrStdout(), args[0], nil, asJSON)
		}),
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`PRIVATE` key that signs, PEM; may be given more than once")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "key")
	return cmd
}

func signTUF(path, keyPath string) error {
	if err := mayReplace(path, keyPath); err != nil {
		return err
	}
	key, err := readPrivateKey(keyPath)
	if err != nil {
		return err
	}
	b, err := bounded.File(path, tuf.MaxTargets)
	if err != nil {
		return err
	}
	if b, err = tuf.Sign(b, key); err != nil {
		return err
	}
	return replace(path, b)
}

func tufInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect DOCUMENT",
		Short: "Show what a document of release metadata says",
		Long:  `Show what a document of release metadata says. Inspect checks no signature; verify does.`,
		Args:  oneTUF,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			return tellTUF(cmd.OutOrStdout(), args[0], nil, asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

func tufVerifyCommand() *cobra.Command {
	var root string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --root TRUSTED DOCUMENT…",
		Short: "Say whether a robot takes root documents and a list of releases",
		Long: `Say whether a robot that trusts one root document takes others, one after the
other, and at last a list of releases, today. TRUSTED may be given as DOCUMENT too:
then it has to bear its own signatures, as a first one does. The exit code is 0
when it does and 1 when it refuses.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("want one document of release metadata or more")
			}
			return nil
		},
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			return verifyTUF(cmd.OutOrStdout(), root, args, asJSON)
		}),
	}
	cmd.Flags().StringVar(&root, "root", "", "root document that the robot trusts: `TRUSTED`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "root")
	return cmd
}

func oneTUF(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one document of release metadata, got %d", len(args))
	}
	return nil
}
