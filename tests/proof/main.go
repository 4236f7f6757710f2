// Command proof writes docs/proof.md out of what the tests of `make proof` have
// reported: one line of JSON for each part. scripts/proof calls it.
//
//	proof -report FILE -commit COMMIT [-limit TIME] >docs/proof.md
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	report := flag.String("report", "", "the file of reports")
	commit := flag.String("commit", "", "that was tried")
	limit := flag.String("limit", "", "time that the cut machine was given; none: all it needs")
	flag.Parse()
	if err := write(*report, *commit, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

func write(report, commit, limit string) error {
	f, err := os.Open(report)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	parts, err := read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	page, err := render(parts, facts{Commit: commit, Limit: limit, Date: time.Now().UTC().Format(time.DateOnly)})
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(page)
	return err
}
