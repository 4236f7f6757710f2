package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/firmware/keyring"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

func keyringInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a keyring document says",
		Long:  `Show what a keyring document says. Inspect checks no signature; verify does.`,
		Args:  oneDocument,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			d, err := readKeyringDocument(args[0])
			if err != nil {
				return err
			}
			return newKeyringReport(args[0], d).write(cmd.OutOrStdout(), asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

func keyringVerifyCommand() *cobra.Command {
	var keys []string
	var after string
	var threshold int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --key PUBLIC [--key PUBLIC…] [--after OLD] [--threshold N] FILE",
		Short: "Say whether a robot takes a keyring document",
		Long: `Say whether a robot takes a keyring document, and which keys it trusts then: one
that has the public keys of --key in its files and has accepted the document of
--after before. The exit code is 0 when it does and 1 when it refuses.`,
		Args: oneDocument,
		RunE: doing(func(cmd *cobra.Command, args []string) error {
			return verifyKeyring(cmd.OutOrStdout(), args[0], keys, after, threshold, asJSON)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&keys, "key", nil, "`PUBLIC` key in the robot's files (DER, PEM or 64 bytes X‖Y); may be given more than once")
	f.StringVar(&after, "after", "", "document that is in force on the robot: `OLD`; none: its first")
	f.IntVar(&threshold, "threshold", 1, "how many trusted keys must have signed: trust.threshold of the robot")
	f.BoolVar(&asJSON, "json", false, "report as JSON")
	need(cmd, "key")
	return cmd
}

func verifyKeyring(out io.Writer, path string, keyPaths []string, after string, threshold int, asJSON bool) error {
	if threshold < 1 || threshold > keyring.MaxSignatures {
		return fmt.Errorf("--threshold %d: want 1 to %d", threshold, keyring.MaxSignatures)
	}
	ring, err := robotsRing(keyPaths, after, threshold)
	if err != nil {
		return err
	}
	b, err := bounded.File(path, keyring.MaxDocument)
	if err != nil {
		return err
	}
	d, err := keyring.Parse(b)
	if err == nil {
		ring, err = ring.Accept(d)
	}
	var refused *keyring.Refused
	if errors.As(err, &refused) && asJSON {
		r := refusal[keyring.Code]{File: path, Code: refused.Code, Attack: refused.Code.Attack(), Reason: refused.Detail}
		if err := writeJSON(out, r); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := newKeyringReport(path, d)
	r.Proved, r.Then = true, &thenReport{Trusted: ring.Trusted().IDs(), Revoked: append([]string{}, ring.Revoked()...)}
	return r.write(out, asJSON)
}

// robotsRing is the ring of a robot that has these keys in its files.
func robotsRing(keyPaths []string, after string, threshold int) (keyring.Ring, error) {
	base := keyring.Base{Threshold: threshold}
	for _, path := range keyPaths {
		keys, err := readKeys([]string{path})
		if err != nil {
			return keyring.Ring{}, err
		}
		base.Files = append(base.Files, keyring.Source{Name: path, Keys: keys})
	}
	if after == "" {
		return keyring.NewRing(base), nil
	}
	old, err := readKeyringDocument(after)
	if err != nil {
		return keyring.Ring{}, err
	}
	return keyring.Resume(base, old), nil
}

func oneDocument(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one keyring document, got %d", len(args))
	}
	return nil
}

// keyringReport is what there is to say of a keyring document, for people and,
// as JSON, for programs.
type keyringReport struct {
	File    string     `json:"file"`
	Kind    string     `json:"kind"`   // keyring
	Proved  bool       `json:"proved"` // a robot takes it
	Version uint64     `json:"version"`
	Trusts  []string   `json:"trusts"`  // ids
	Revokes []string   `json:"revokes"` // ids
	Signers []string   `json:"signers"` // ids, as the document names them
	Comment string     `json:"comment,omitempty"`
	Issued  *time.Time `json:"issued,omitempty"`
	Digest  string     `json:"digest"` // of what is signed
	// Then is what is in force on a robot that has taken it.
	Then *thenReport `json:"then,omitempty"`
}

type thenReport struct {
	Trusted []string `json:"trusted"`
	Revoked []string `json:"revoked"`
}

func newKeyringReport(path string, d keyring.Document) keyringReport {
	c, sum := d.Content(), d.Digest()
	r := keyringReport{
		File: path, Kind: "keyring", Version: c.Version, Trusts: image.NewKeyring(c.Keys...).IDs(),
		Revokes: append([]string{}, c.Revoked...), Signers: []string{}, Comment: c.Comment, Digest: hex.EncodeToString(sum[:]),
	}
	if !c.Issued.IsZero() {
		r.Issued = &c.Issued
	}
	for _, s := range d.Signatures() {
		r.Signers = append(r.Signers, s.Key)
	}
	return r
}

// write prints the report.
func (r keyringReport) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return writeJSON(out, r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("file", "%s (keyring)", r.File)
	row("version", "%d", r.Version)
	row("trusts", "%s", orNobody(r.Trusts))
	row("revokes", "%s", orNobody(r.Revokes))
	if r.Comment != "" {
		row("comment", "%s", r.Comment)
	}
	if r.Issued != nil {
		row("issued", "%s", r.Issued.Format(time.RFC3339))
	}
	row("names as signers", "%s", strings.Join(r.Signers, ", "))
	row("digest", "%s", r.Digest)
	if r.Then == nil {
		row("proved", "nothing: no signature was checked; use: ota-sign keyring verify --key PUBLIC FILE")
		return w.Flush()
	}
	row("proved", "a robot with these keys takes it")
	row("then trusted", "%s", orNobody(r.Then.Trusted))
	row("then revoked", "%s", orNobody(r.Then.Revoked))
	return w.Flush()
}

func orNobody(ids []string) string {
	if len(ids) == 0 {
		return "no key"
	}
	return strings.Join(ids, ", ")
}
