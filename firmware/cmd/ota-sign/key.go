package main

import (
	"crypto/ecdsa"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/internal/bounded"
)

const maxKeyFile = 64 << 10 // bytes

// readPrivateKey reads a signing key in PEM form.
func readPrivateKey(path string) (*ecdsa.PrivateKey, error) {
	b, err := bounded.File(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := image.ParsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// warnReadable warns where others than the owner may read the private key.
func warnReadable(cmd *cobra.Command, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s can be read by others; run: chmod 600 %s\n", path, path)
	}
}

// readKeyring reads public keys from files.
func readKeyring(paths []string) (image.Keyring, error) {
	keys, err := readKeys(paths)
	return image.NewKeyring(keys...), err
}

// readKeys reads public keys from files.
func readKeys(paths []string) ([]image.Key, error) {
	var all []image.Key
	for _, path := range paths {
		b, err := bounded.File(path, maxKeyFile)
		if err != nil {
			return nil, err
		}
		keys, err := image.ParseKeys(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, keys...)
	}
	return all, nil
}
