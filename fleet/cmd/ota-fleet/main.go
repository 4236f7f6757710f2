// Command ota-fleet is the update server.
//
//	ota-fleet serve    --data DIR --tls-cert FILE --tls-key FILE [--client-ca FILE] [--identity required|optional]
//	ota-fleet publish  --data DIR --sku basic,standard [--key pub.der] [--stable] signed.bin
//	ota-fleet list     --data DIR
//	ota-fleet patches  --data DIR [--make]
//	ota-fleet withdraw --data DIR --reason TEXT RELEASE
//	ota-fleet rollout  start|list|show|watch|pause|resume|promote|halt --data DIR …
//	ota-fleet halt     --data DIR --release NAME|--sku SKU --reason TEXT
//	ota-fleet rollback --data DIR --release NAME --reason TEXT [--wait]
//	ota-fleet incident list|show|note|close|log --data DIR …
//	ota-fleet robot    add|set|list|token|remove --data DIR …
//	ota-fleet user     add|set|passwd|list|remove --data DIR …
//	ota-fleet key      add|list|revoke --data DIR …
//	ota-fleet key      compromise start|status|except|done --data DIR … [KEY]
//	ota-fleet keyring  --data DIR --key pub.der keyring.json
//	ota-fleet metadata import|draft|show --data DIR …
//	ota-fleet db       migrate|check|backup --data DIR …
//	ota-fleet simulate [--robots N] [--speed X] …
//	ota-fleet dev-cert --dir DIR [--host localhost,127.0.0.1] [--robot ID] [--broker HOST]
//
// All but simulate and dev-cert take --db postgres://… in place of the database in DIR, and
// may be used beside a running server.
//
// Exit codes: 0 done; 1 refused or failed; 2 called wrongly; 3 waited for robots in
// vain.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "devel"

const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitUnfinished = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and gives the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "ota-fleet",
		Short:         "Serve firmware releases to robots",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(), publishCommand(), listCommand(), patchesCommand(), withdrawCommand(), rolloutCommand(), haltCommand(), rollbackCommand(), incidentCommand(), //nolint:contextcheck // cobra carries it
		robotCommand(), userCommand(), keyCommand(), keyringCommand(), metadataCommand(), dbCommand(), simulateCommand(), devCertCommand()) //nolint:contextcheck // the same
	withManual(root).SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "ota-fleet: %v\n", err)
	var late *unfinished
	if errors.As(err, &late) {
		return exitUnfinished
	}
	var failed *failure
	if errors.As(err, &failed) {
		return exitFailed
	}
	fmt.Fprintf(stderr, "See: %s --help\n", cmd.CommandPath())
	return exitUsage
}

// failure marks what went wrong after the command line had been understood.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// unfinished says that what was waited for did not come in time.
type unfinished struct{ error }

// doing wraps a command's body: its errors are failures, not wrong usage.
func doing(body func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := body(cmd, args); err != nil {
			return &failure{err}
		}
		return nil
	}
}

// need marks flags that have to be given.
func need(cmd *cobra.Command, names ...string) {
	for _, n := range names {
		if err := cmd.MarkFlagRequired(n); err != nil {
			panic(err) // it was defined some lines above
		}
	}
}

// oneArgument takes a command's only argument.
func oneArgument(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("want %s, got %d", what, len(args))
		}
		return nil
	}
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("what is %q? This command takes options only", args[0])
	}
	return nil
}
