package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/internal/durable"
)

func devCertCommand() *cobra.Command {
	var dir string
	var hosts []string
	var days int
	cmd := &cobra.Command{
		Use:   "dev-cert --dir DIR",
		Short: "Make a certificate for a laboratory or a demonstration",
		Long: `Make an authority and a server certificate, for a laboratory only:
  ca.pem          for the robots (server.ca_file)
  server.pem      for ota-fleet serve --tls-cert
  server-key.pem  for ota-fleet serve --tls-key
The authority's own key is thrown away: it vouches for this one certificate and
can never be stolen. Existing files are left alone.`,
		Args: noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			if err := devCert(dir, hosts, days, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote ca.pem, server.pem and server-key.pem to %s, valid for %d days\n", dir, days)
			return nil
		}),
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where the files go; made where it is missing")
	cmd.Flags().StringSliceVar(&hosts, "host", []string{"localhost", "127.0.0.1", "::1"}, "names and addresses of the server")
	cmd.Flags().IntVar(&days, "days", 30, "how long it is valid, 1 to 397 days")
	need(cmd, "dir")
	return cmd
}

const day = 24 * time.Hour

func devCert(dir string, hosts []string, days int, now time.Time) error {
	if days < 1 || days > 397 {
		return fmt.Errorf("--days %d: want 1 to 397", days)
	}
	if len(hosts) == 0 || len(hosts) > 100 {
		return errors.New("--host: want the server's names and addresses, 1 to 100 of them")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, name := range []string{"ca.pem", "server.pem", "server-key.pem"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; remove it, or choose another --dir", filepath.Join(dir, name))
		}
	}
	from, to := now.Add(-time.Hour), now.Add(time.Duration(days)*day)
	ca := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ota-fleet laboratory authority"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ota-fleet laboratory server"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	return issue(dir, ca, leaf)
}

// issue signs and writes the certificates; the authority's key ends here.
func issue(dir string, ca, leaf *x509.Certificate) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	var serials [2]*big.Int
	for i := range serials {
		if serials[i], err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
			return fmt.Errorf("make a serial number: %w", err)
		}
	}
	ca.SerialNumber, leaf.SerialNumber = serials[0], serials[1]
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("make the authority: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("make the certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	return errors.Join(
		writePEM(dir, "server-key.pem", "PRIVATE KEY", private, 0o600),
		writePEM(dir, "server.pem", "CERTIFICATE", der, 0o644),
		writePEM(dir, "ca.pem", "CERTIFICATE", caDER, 0o644),
	)
}

func writePEM(dir, name, kind string, der []byte, perm fs.FileMode) error {
	return durable.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
}
