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
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/internal/durable"
)

func devCertCommand() *cobra.Command {
	var o devCerts
	cmd := &cobra.Command{
		Use:   "dev-cert --dir DIR",
		Short: "Make certificates for a laboratory or a demonstration",
		Long: `Make an authority and certificates, for a laboratory only:
  ca.pem                        for the robots (server.ca_file) and ota-fleet serve --client-ca
  server.pem, server-key.pem    for ota-fleet serve --tls-cert --tls-key
  broker.pem, broker-key.pem    for an MQTT broker, with --broker
  robots/ID.pem, ID-key.pem     client certificates, with --robot
The authority's own key is thrown away: it vouches for these certificates alone
and can never be stolen. Existing files are left alone.`,
		Args: noArguments,
		RunE: doing(func(cmd *cobra.Command, _ []string) error {
			names, err := o.make(time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s to %s, valid for %d days\n", strings.Join(names, ", "), o.dir, o.days)
			return nil
		}),
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "where the files go; made where it is missing")
	cmd.Flags().StringSliceVar(&o.hosts, "host", []string{"localhost", "127.0.0.1", "::1"}, "names and addresses of the server")
	cmd.Flags().StringSliceVar(&o.brokers, "broker", nil, "names and addresses of an MQTT broker, which gets a certificate")
	cmd.Flags().StringSliceVar(&o.robots, "robot", nil, "ids of robots, which get client certificates; may be given more than once")
	cmd.Flags().IntVar(&o.days, "days", 30, "how long they are valid, 1 to 397 days")
	need(cmd, "dir")
	return cmd
}

// devCerts says which certificates are made.
type devCerts struct {
	dir                    string
	hosts, brokers, robots []string
	days                   int
}

const day = 24 * time.Hour

func (o devCerts) check() error {
	const most = 1000
	switch {
	case o.days < 1 || o.days > 397:
		return fmt.Errorf("--days %d: want 1 to 397", o.days)
	case len(o.hosts) == 0 || len(o.hosts) > 100 || len(o.brokers) > 100:
		return errors.New("--host, --broker: want the names and addresses of a server, 1 to 100 of them")
	case len(o.robots) > most:
		return fmt.Errorf("--robot: at most %d robots", most)
	}
	for _, id := range o.robots {
		if !store.IsRobotID(id) {
			return fmt.Errorf("--robot %.64q: want 1 to 64 letters, digits, - and _", id)
		}
	}
	return nil
}

// leaves are the certificates to be made, by the names of their files.
func (o devCerts) leaves() []leaf {
	out := []leaf{{"server", serverCert("ota-fleet laboratory server", o.hosts)}}
	if len(o.brokers) > 0 {
		out = append(out, leaf{"broker", serverCert("ota-fleet laboratory broker", o.brokers)})
	}
	for _, id := range o.robots {
		out = append(out, leaf{filepath.Join("robots", id), &x509.Certificate{
			Subject: pkix.Name{CommonName: id}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}})
	}
	return out
}

// leaf is a certificate and the name of its files.
type leaf struct {
	name string
	cert *x509.Certificate
}

func serverCert(name string, hosts []string) *x509.Certificate {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, h)
		}
	}
	return c
}

// make writes the certificates and names the files; the authority's key ends here.
func (o devCerts) make(now time.Time) ([]string, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	leaves := o.leaves()
	names := []string{"ca.pem"}
	for _, l := range leaves {
		names = append(names, l.name+".pem", l.name+"-key.pem")
	}
	for _, name := range names {
		path := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return nil, err
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already; remove it, or choose another --dir", path)
		}
	}
	ca := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ota-fleet laboratory authority"},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	from, to := now.Add(-time.Hour), now.Add(time.Duration(o.days)*day)
	ca.NotBefore, ca.NotAfter = from, to
	caDER, caKey, err := issue(ca, ca, nil)
	if err != nil {
		return nil, err
	}
	for _, l := range leaves {
		l.cert.NotBefore, l.cert.NotAfter, l.cert.KeyUsage = from, to, x509.KeyUsageDigitalSignature
		der, key, err := issue(l.cert, ca, caKey)
		if err != nil {
			return nil, err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encode the key: %w", err)
		}
		if err := errors.Join(writePEM(o.dir, l.name+"-key.pem", "PRIVATE KEY", private, 0o600), writePEM(o.dir, l.name+".pem", "CERTIFICATE", der, 0o644)); err != nil {
			return nil, err
		}
	}
	return names, writePEM(o.dir, "ca.pem", "CERTIFICATE", caDER, 0o644)
}

// issue makes a key and has the authority sign its certificate; the authority
// signs itself.
func issue(c, ca *x509.Certificate, caKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, fmt.Errorf("make a serial number: %w", err)
	}
	by := caKey
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, by)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", c.Subject.CommonName, err)
	}
	return der, key, nil
}

func writePEM(dir, name, kind string, der []byte, perm fs.FileMode) error {
	return durable.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
}
