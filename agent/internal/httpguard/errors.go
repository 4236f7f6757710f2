package httpguard

import "fmt"

// A RefusedError says that the agent does not ask this host: the URL, a
// redirect or the address behind the name is not allowed.
type RefusedError struct {
	Host   string // host:port
	Reason string // and what would lift it
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused to ask %s: %s", e.Host, e.Reason) }

// Code names the refusal for machines.
func (*RefusedError) Code() string { return "url_refused" }

// Final: it does not help to ask again.
func (*RefusedError) Final() bool { return true }

// An UnreachableError says that there was no conversation with the server.
type UnreachableError struct {
	Host  string // host:port
	Cause error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach the server %s: %v; check the network, the server's address and that it is running", e.Host, e.Cause)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// Code names the failure for machines.
func (*UnreachableError) Code() string { return "server_unreachable" }

// Final: the network may come back.
func (*UnreachableError) Final() bool { return false }

// A CertificateError says that the server could not prove who it is.
type CertificateError struct {
	Host   string // host:port
	Reason string // and what to do
	Cause  error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("the certificate of %s is not trusted: %s", e.Host, e.Reason)
}

func (e *CertificateError) Unwrap() error { return e.Cause }

// Code names the failure for machines.
func (*CertificateError) Code() string { return "certificate_untrusted" }

// Final: it does not help to ask again.
func (*CertificateError) Final() bool { return true }
