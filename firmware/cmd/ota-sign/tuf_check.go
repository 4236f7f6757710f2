package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/tuf"
)

// verifyTUF follows documents as a robot does.
func verifyTUF(out io.Writer, rootPath string, paths []string, asJSON bool) error {
	trusted, err := bounded.File(rootPath, tuf.MaxRoot)
	if err != nil {
		return err
	}
	if err := tuf.CheckNext(nil, trusted); err != nil {
		return fmt.Errorf("%s: %w", rootPath, err)
	}
	for i, path := range paths {
		b, err := bounded.File(path, tuf.MaxTargets)
		if err != nil {
			return err
		}
		err = follows(&trusted, b)
		if err == nil && i == len(paths)-1 { // those in between may have expired
			err = errors.Join(expired(trusted, time.Now()), expired(b, time.Now()))
		}
		if err == nil {
			continue
		}
		var refused *tuf.Refused
		if errors.As(err, &refused) && asJSON {
			r := refusal[tuf.Code]{File: path, Code: refused.Reason, Attack: refused.Reason.Attack(), Reason: refused.Detail}
			if err := writeJSON(out, r); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	proved := "a robot that trusts " + rootPath + " takes it"
	return tellTUF(out, paths[len(paths)-1], &proved, asJSON)
}

// follows says why a robot does not take a document; nil: it does, and trusts
// it then.
func follows(trusted *[]byte, b []byte) error {
	role, err := tuf.RoleOf(b)
	if err != nil {
		return err
	}
	switch role {
	case tuf.RoleRoot:
		if bytes.Equal(b, *trusted) {
			return nil
		}
		if err := tuf.CheckNext(*trusted, b); err != nil {
			return err
		}
		*trusted = b
		return nil
	case tuf.RoleTargets:
		return tuf.CheckTargets(*trusted, b)
	default:
		return fmt.Errorf("verify takes root documents and lists of releases; this is a %s", role)
	}
}

func expired(b []byte, now time.Time) error {
	d, err := tuf.Describe(b)
	if err == nil && now.After(d.Expires) {
		err = &tuf.Refused{Reason: tuf.Expired, Detail: fmt.Sprintf("%s %d expired at %s", d.Role, d.Version, d.Expires.Format(time.RFC3339))}
	}
	return err
}

// tufReport is what there is to say of a document.
type tufReport struct {
	File   string `json:"file"`
	Proved bool   `json:"proved"` // a robot takes it
	tuf.Description
}

// tellTUF prints what a document says; proved: what verify found.
func tellTUF(out io.Writer, path string, proved *string, asJSON bool) error {
	b, err := bounded.File(path, tuf.MaxTargets)
	if err != nil {
		return err
	}
	d, err := tuf.Describe(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if asJSON {
		return writeJSON(out, tufReport{File: path, Proved: proved != nil, Description: d})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("file", "%s (%s)", path, d.Role)
	row("version", "%d", d.Version)
	row("expires", "%s", d.Expires.Format(time.RFC3339))
	if d.Role == tuf.RoleRoot {
		row("root", "%s (%d of %d sign)", names(d.Keys[tuf.RoleRoot]), d.Threshold, len(d.Keys[tuf.RoleRoot]))
		row("targets", "%s", names(d.Keys[tuf.RoleTargets]))
		row("online", "%s", names(d.Keys[tuf.RoleTimestamp]))
	}
	for _, f := range d.Files {
		row(f.Release, "%s, %d bytes, SHA-256 %s", f.Status, f.Size, f.SHA256)
	}
	row("names as signers", "%s", names(d.Signers))
	if other := strangers(d); len(other) > 0 {
		row("no root keys here", "%s: they count only where the root before this one names them", names(other))
	}
	if proved != nil {
		row("proved", "%s", *proved)
	} else {
		row("proved", "nothing: no signature was checked; use: ota-sign tuf verify --root TRUSTED %s", path)
	}
	return w.Flush()
}

// strangers are a root document's signers that are none of its root keys.
func strangers(d tuf.Description) []tuf.Name {
	if d.Role != tuf.RoleRoot {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(d.Signers), func(n tuf.Name) bool { return slices.Contains(d.Keys[tuf.RoleRoot], n) })
}

func names(all []tuf.Name) string {
	if len(all) == 0 {
		return "no key"
	}
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}
