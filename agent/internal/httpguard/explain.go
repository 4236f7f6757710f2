package httpguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// explain turns the error of a request to host:port into one of this
// package's. The end of the request's own context stays what it is.
func explain(ctx context.Context, host string, err error, now time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The URL that http.Client puts in front may hold a signed query.
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
		if u, perr := url.Parse(in.URL); perr == nil && u.Host != "" {
			host = hostPort(u) // where a redirect led
		}
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused
	}
	if c := certificate(host, err, now); c != nil {
		return c
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		err = errors.New("what answers there does not speak TLS")
	}
	return &UnreachableError{Host: host, Cause: err}
}

// certificate explains a certificate that was not accepted; nil: it is not
// about that.
func certificate(host string, err error, now time.Time) error {
	var (
		failed  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	refuse := func(format string, args ...any) error {
		return &CertificateError{Host: host, Reason: fmt.Sprintf(format, args...), Cause: err}
	}
	switch {
	case errors.As(err, &unknown):
		return refuse("it was issued by %s, which is not among the trusted authorities; put that authority's certificate (PEM) into the file that server.ca_file names", issuer(err))
	case errors.As(err, &name):
		return refuse("it is not for this name (%v); use the name it was issued for in the URL, or have it issued for this one", name)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return refuse("it is valid from %s on, and this computer's clock says %s; set the clock",
			invalid.Cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refuse("it expired on %s (this computer's clock says %s); renew it, or set the clock",
			invalid.Cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case errors.As(err, &failed) || errors.As(err, &invalid):
		return refuse("%v", err)
	}
	return nil
}

// issuer names who issued the certificate that ends the server's chain.
func issuer(err error) string {
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) || len(failed.UnverifiedCertificates) == 0 {
		return "an unknown authority"
	}
	last := failed.UnverifiedCertificates[len(failed.UnverifiedCertificates)-1]
	if last.Subject.String() == last.Issuer.String() && len(failed.UnverifiedCertificates) == 1 {
		return fmt.Sprintf("itself (%q)", clip(last.Subject.String()))
	}
	return fmt.Sprintf("%q", clip(last.Issuer.String()))
}
