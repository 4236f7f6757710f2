package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/sim/espsim"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

func imageCommand() *cobra.Command {
	var (
		spec                    testimage.Spec
		output, sku, chip, size string
		key                     string
	)
	c := &cobra.Command{
		Use:   "image --version VERSION --output FILE",
		Short: "Make an ESP32 application image for tests",
		Long: `Make an ESP32 application image for tests: right in structure, noise in
contents. The same flags give the same bytes. It is not signed; ota-sign does
that.

Behaviours: ` + strings.Join(espsim.Behaviours(), ", ") + `.
Those that end in _after take seconds, as goes_bad_after:20; silent may;
wrong_version may take the version that it claims, as wrong_version:0.9.9.`,
		Example: "  ota-sim image --version 0.2.1 --behaviour fail_self_test --size 1388912 --output bad.bin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if spec.Size, err = parseSize(size); err != nil {
				return fmt.Errorf("--size: %w", err)
			}
			switch chip {
			case "esp32s3":
				spec.Chip = 9
			case "esp32":
				spec.Chip = testimage.ChipESP32
			default:
				return fmt.Errorf("--chip %q: want esp32s3 or esp32", chip)
			}
			if key != "" {
				if spec.SigningKey, err = embedded(key); err != nil {
					return fmt.Errorf("--signing-key %s: %w", key, err)
				}
			}
			if sku != "" {
				spec.Project = "robot-platform-" + sku
			}
			img, err := testimage.Build(spec)
			if err != nil {
				return err
			}
			if err := os.WriteFile(output, img, 0o644); err != nil {
				return err
			}
			sum := sha256.Sum256(img)
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s for %s, %d bytes, sha256 %s\n",
				output, spec.Version, chip, len(img), hex.EncodeToString(sum[:]))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&spec.Version, "version", "", "version in the app description")
	f.StringVar(&output, "output", "", "file to write")
	f.StringVar(&sku, "sku", "", "basic, standard or industrial: the project is robot-platform-SKU")
	f.StringVar(&spec.Project, "project", testimage.DefaultProject, "project name in the app description")
	f.StringVar(&chip, "chip", "esp32s3", "esp32s3 or esp32")
	f.StringVar(&size, "size", strconv.Itoa(testimage.DefaultSize), "size in bytes; K and M may follow")
	f.StringVar(&spec.Behaviour, "behaviour", "good", "what the application does on the simulated chip")
	f.Uint8Var(&spec.Protocol, "protocol", 0, "protocol version that it advertises; 0: by the fleet's table")
	f.Uint32Var(&spec.SecureVersion, "secure-version", 0, "secure version for anti-rollback")
	f.StringVar(&key, "signing-key", "", "public key that the firmware embeds and reports (`FILE`, DER or PEM)")
	f.StringVar(&spec.Like, "like", "", "version whose contents it has, as the one after it has most of them; otherwise its own")
	f.Uint64Var(&spec.Seed, "seed", 0, "varies the contents")
	c.MarkFlagsMutuallyExclusive("sku", "project")
	_ = c.MarkFlagRequired("version")
	_ = c.MarkFlagRequired("output")
	return c
}

// embedded is a public key in the form in which firmware holds it, X‖Y, in hex.
func embedded(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	pub, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		return "", err
	}
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return "", errors.New("want an ECDSA public key on P-256")
	}
	point, err := ec.Bytes()
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(point[1:]), nil // without the 4 of "uncompressed"
}

// parseSize reads "1388912", "512K" or "2M".
func parseSize(s string) (int, error) {
	unit := 1
	switch {
	case strings.HasSuffix(s, "K"):
		unit = 1 << 10
	case strings.HasSuffix(s, "M"):
		unit = 1 << 20
	}
	n, err := strconv.Atoi(strings.TrimRight(s, "KM"))
	if err != nil || n <= 0 || n > testimage.MaxSize/unit {
		return 0, fmt.Errorf("%q: want a number of bytes up to %d, such as 512K", s, testimage.MaxSize)
	}
	return n * unit, nil
}
