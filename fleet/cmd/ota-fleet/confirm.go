package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

var errNotConfirmed = errors.New("not confirmed; nothing was done")

// confirm asks on a terminal before something that cannot be undone. Without a
// terminal it takes --yes.
func confirm(cmd *cobra.Command, yes bool, question string, args ...any) error {
	if yes {
		return nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New("without a terminal to ask at it takes --yes")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), question+" [y/N] ", args...)
	return confirmed(in)
}

// confirmed reads the answer.
func confirmed(in io.Reader) error {
	answer, err := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}
