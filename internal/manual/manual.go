// Package manual writes the manual pages of a program when its package is
// built. It belongs to no product: a program has it only with the build tag
// docs, as the hidden command "manual".
package manual

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Command writes a page of section 1 for each command of root into a folder;
// date, YYYY-MM-DD, stands in their footer.
func Command(root func() *cobra.Command, more ...func(dir string, date time.Time) error) *cobra.Command {
	var date string
	c := &cobra.Command{
		Use: "manual DIR", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			day, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return fmt.Errorf("--date: %w", err)
			}
			if err := pages(root(), args[0], day); err != nil {
				return err
			}
			for _, write := range more {
				if err := write(args[0], day); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&date, "date", "", "date of the pages, YYYY-MM-DD")
	return c
}

func pages(root *cobra.Command, dir string, date time.Time) error {
	root.DisableAutoGenTag = true
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // manual pages are for everyone
		return err
	}
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: root.Name(), Manual: "User Commands"}, dir)
}

// File is the page of a configuration file, section 5, which shows the
// commented example as it is.
func File(dir, name, about string, example []byte, date time.Time) error {
	if len(example) == 0 {
		return errors.New("the example is empty")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %q 5 %q \"\" \"File Formats\"\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n",
		strings.ToUpper(name), date.Format(time.DateOnly), name, about)
	for line := range strings.Lines(string(example)) {
		b.WriteString(literal(line))
	}
	b.WriteString(".fi\n.SH SEE ALSO\n.BR ota\\-agent (1)\n")
	return os.WriteFile(filepath.Join(dir, name+".5"), b.Bytes(), 0o644) //nolint:gosec // a manual page is for everyone
}

// literal keeps roff from reading anything in a line: see groff(7), "Escape
// sequences" and "Control characters".
func literal(line string) string {
	return `\&` + strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`).Replace(line)
}
