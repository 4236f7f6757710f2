// Command ota-sign makes and checks the fleet's signed firmware images, and the
// keyring documents that say whose signatures count. It runs on the build
// server, where the private key is.
//
//	ota-sign keygen  [--key ota_signing_key.pem] [--pub ota_pubkey]
//	ota-sign sign    --input app.bin --key key.pem --output signed.bin [--version 0.2.1]
//	ota-sign verify  --key pub.der [--key …] signed.bin
//	ota-sign inspect file
//	ota-sign keyring create --version 1 --add new.der --key old-key.pem --output keyring-1.json
//	ota-sign keyring sign|inspect|verify …
//	ota-sign tuf init|rotate|sign|verify|inspect …
//
// Called as sign_firmware it is `ota-sign sign`.
//
// Exit codes: 0 done; 1 refused or failed; 2 called wrongly.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "devel"

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == "sign_firmware" {
		args = append([]string{"sign"}, args...)
	}
	os.Exit(run(args, os.Stdout, os.Stderr))
}

// run executes one command line and gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "ota-sign",
		Short:         "Sign, verify and inspect firmware images, keyrings and release metadata",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(keygenCommand(), signCommand(), verifyCommand(), inspectCommand(), keyringCommand(), tufCommand())
	withManual(root).SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "ota-sign: %v\n", err)
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

// oneFile demands one argument, the image.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one image file, got %d", len(args))
	}
	return nil
}
