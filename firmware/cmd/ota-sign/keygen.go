package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
)

func keygenCommand() *cobra.Command {
	var keyPath, pubPath string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a signing key",
		Long: `Make an ECDSA P-256 key pair: the private key as openssl writes it (PEM, readable
by the owner only) and the public key twice, as DER and as PEM. No file is overwritten.`,
		Args: cobra.NoArgs,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			return keygen(cmd.OutOrStdout(), keyPath, pubPath)
		}),
	}
	cmd.Flags().StringVar(&keyPath, "key", "ota_signing_key.pem", "file for the private key")
	cmd.Flags().StringVar(&pubPath, "pub", "ota_pubkey", "file for the public key, without its ending")
	return cmd
}

func keygen(out io.Writer, keyPath, pubPath string) error {
	for _, public := range []string{pubPath + ".der", pubPath + ".pem"} {
		if filepath.Clean(public) == filepath.Clean(keyPath) {
			return fmt.Errorf("--key and --pub: the private and a public key would both be %s; name one of them otherwise", public)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	public, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return err
	}
	var made []string
	for _, f := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{
		{keyPath, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}), 0o600},
		{pubPath + ".der", public.DER(), 0o644},
		{pubPath + ".pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public.DER()}), 0o644},
	} {
		if err := createNew(f.path, f.data, f.mode); err != nil {
			for _, path := range made { // half a key pair is of no use
				err = errors.Join(err, os.Remove(path))
			}
			return fmt.Errorf("make a key: %w", err)
		}
		made = append(made, f.path)
	}
	fmt.Fprintf(out, "key %s\n  private  %s  (keep it secret, on the build server only)\n  public   %s.der, %s.pem  (for the robots)\n",
		public.ID, keyPath, pubPath, pubPath)
	return nil
}
