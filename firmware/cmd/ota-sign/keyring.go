package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func keyringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keyring",
		Short: "Say which keys robots are to trust",
		Long: `Make and check keyring documents: they add keys to those that robots trust, and
revoke others. Robots take one that is signed by keys which they trust already
(trust.threshold of them) and whose version is higher than what they have, from
the update server (ota-fleet keyring) or from a file (ota-agent keys update).

A key is named by its id, as keygen prints it. A revocation is for ever: each
document lists those of the one before it, so make it with --from that one.`,
		Example: `  ota-sign keyring create --version 1 --add new.der --key old-key.pem --output keyring-1.json
  ota-sign keyring create --from keyring-1.json --revoke old.der --key new-key.pem --output keyring-2.json
  ota-sign keyring sign --input keyring-2.json --key second-key.pem --output keyring-2.json
  ota-sign keyring verify --key old.der --after keyring-1.json keyring-2.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(keyringCreateCommand(), keyringSignCommand(), keyringInspectCommand(), keyringVerifyCommand())
	return cmd
}

// draft is what a document is to be made from.
type draft struct {
	from, key, output   string
	version             uint64
	add, remove, revoke []string
	comment             string
	json                bool
}

func keyringCreateCommand() *cobra.Command {
	var o draft
	cmd := &cobra.Command{
		Use:   "create [--from OLD] [--version N] [--add PUBLIC…] [--revoke ID…] --key PRIVATE --output FILE",
		Short: "Make a keyring document and sign it",
		Long: `Make a keyring document and sign it. With --from it says what the old one says,
and the changes; its version is the next one unless --version names it.

Robots trust the keys of their own files besides those of the document, and none
that is revoked. A document may revoke the key that signs it.`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			warnReadable(cmd, o.key)
			d, err := o.make(time.Now())
			if err != nil {
				return fmt.Errorf("make a keyring: %w", err)
			}
			return newKeyringReport(o.output, d).write(cmd.OutOrStdout(), o.json)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "the document before: `OLD`; needed for all but a fleet's first")
	f.Uint64Var(&o.version, "version", 0, "version `N` of the document; without --from it has to be said")
	f.StringArrayVar(&o.add, "add", nil, "file of `PUBLIC` keys to trust (DER, PEM or 64 bytes X‖Y); may be given more than once")
	f.StringArrayVar(&o.remove, "remove", nil, "`ID` or public key file to take out of the old document without revoking it; may be given more than once")
	f.StringArrayVar(&o.revoke, "revoke", nil, "`ID` or public key file that is never to be trusted again; may be given more than once")
	f.StringVar(&o.comment, "comment", "", "`TEXT` of at most 200 bytes for people")
	f.StringVar(&o.key, "key", "", "`PRIVATE` key that signs, PEM; robots have to trust it")
	f.StringVar(&o.output, "output", "", "`FILE` to write")
	f.BoolVar(&o.json, "json", false, "report as JSON")
	need(cmd, "key", "output")
	return cmd
}

func keyringSignCommand() *cobra.Command {
	var input, key, output string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sign --input DOCUMENT --key PRIVATE --output FILE",
		Short: "Add one more signature to a keyring document",
		Long: `Add one more signature to a keyring document, for robots whose trust.threshold
asks for several. Look at it before you sign: ota-sign keyring inspect DOCUMENT.
Input and output may be one file.`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			warnReadable(cmd, key)
			d, err := signKeyring(input, key, output)
			if err != nil {
				return fmt.Errorf("sign %s: %w", input, err)
			}
			return newKeyringReport(output, d).write(cmd.OutOrStdout(), asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&input, "input", "", "keyring `DOCUMENT`")
	f.StringVar(&key, "key", "", "`PRIVATE` key that signs, PEM")
	f.StringVar(&output, "output", "", "`FILE` to write")
	f.BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "input", "key", "output")
	return cmd
}

// make writes the document and gives it back.
func (o draft) make(now time.Time) (keyring.Document, error) {
	if err := mayReplace(o.output, append([]string{o.key}, o.add...)...); err != nil {
		return keyring.Document{}, err
	}
	c, err := o.content(now)
	if err != nil {
		return keyring.Document{}, err
	}
	d, err := keyring.New(c)
	if err != nil {
		return keyring.Document{}, err
	}
	return sealKeyring(d, o.key, o.output)
}

// content is the old document's with the changes.
func (o draft) content(now time.Time) (keyring.Content, error) {
	c := keyring.Content{}
	if o.from != "" {
		old, err := readKeyringDocument(o.from)
		if err != nil {
			return c, err
		}
		c = old.Content()
		c.Version++
		if o.version != 0 && o.version < c.Version {
			return c, fmt.Errorf("--version %d: the old document is version %d, and versions only go up", o.version, c.Version-1)
		}
	} else if o.version == 0 {
		return c, errors.New("no version: say --from OLD, or --version 1 for a fleet's first document")
	}
	if o.version != 0 {
		c.Version = o.version
	}
	c.Comment, c.Issued = o.comment, now
	err := o.change(&c)
	return c, err
}

// change adds, removes and revokes keys.
func (o draft) change(c *keyring.Content) error {
	fresh, err := readKeys(o.add)
	if err != nil {
		return err
	}
	for _, k := range fresh {
		if !slices.ContainsFunc(c.Keys, func(have image.Key) bool { return have.ID == k.ID }) {
			c.Keys = append(c.Keys, k)
		}
	}
	drop := func(id string) int {
		n := len(c.Keys)
		c.Keys = slices.DeleteFunc(c.Keys, func(k image.Key) bool { return k.ID == id })
		return n - len(c.Keys)
	}
	gone, err := namedKeys(o.remove)
	if err != nil {
		return fmt.Errorf("--remove: %w", err)
	}
	for _, id := range gone {
		if drop(id) == 0 {
			return fmt.Errorf("--remove: the document does not trust key %s", id)
		}
	}
	if gone, err = namedKeys(o.revoke); err != nil {
		return fmt.Errorf("--revoke: %w", err)
	}
	for _, id := range gone {
		drop(id)
		if !slices.Contains(c.Revoked, id) {
			c.Revoked = append(c.Revoked, id)
		}
	}
	return nil
}

// namedKeys gives the ids of keys that are named by id or by a file that holds them.
func namedKeys(names []string) ([]string, error) {
	var ids []string
	for _, name := range names {
		if keyring.IsID(name) {
			ids = append(ids, name)
			continue
		}
		keys, err := readKeys([]string{name})
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%q is neither a key id (16 lower-case hex digits) nor a file", name)
		}
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
	}
	return ids, nil
}

func signKeyring(input, key, output string) (keyring.Document, error) {
	if err := mayReplace(output, key); err != nil {
		return keyring.Document{}, err
	}
	d, err := readKeyringDocument(input)
	if err != nil {
		return keyring.Document{}, err
	}
	return sealKeyring(d, key, output)
}

// sealKeyring adds a signature, writes the document, and demands that it reads
// back.
func sealKeyring(d keyring.Document, keyPath, output string) (keyring.Document, error) {
	key, err := readPrivateKey(keyPath)
	if err != nil {
		return d, err
	}
	if d, err = d.Sign(key); err != nil {
		return d, err
	}
	if d, err = keyring.Parse(d.Encode()); err != nil {
		return d, fmt.Errorf("check what was made: %w", err)
	}
	if err := replace(output, d.Encode()); err != nil {
		return d, fmt.Errorf("write %s: %w", output, err)
	}
	return d, nil
}

func readKeyringDocument(path string) (keyring.Document, error) {
	b, err := bounded.File(path, keyring.MaxDocument)
	if err != nil {
		return keyring.Document{}, err
	}
	d, err := keyring.Parse(b)
	if err != nil {
		return keyring.Document{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}
