package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParsePrivateKey reads one signing key in PEM form: SEC 1 ("EC PRIVATE KEY",
// with or without the "EC PARAMETERS" that openssl puts before it) or PKCS 8.
func ParsePrivateKey(b []byte) (*ecdsa.PrivateKey, error) {
	var der []byte
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "EC PARAMETERS": // names the curve; the key names it again
			continue
		case "EC PRIVATE KEY", "PRIVATE KEY":
		case "PUBLIC KEY":
			return nil, errors.New("it holds a public key, which cannot sign; name the private key")
		case "ENCRYPTED PRIVATE KEY":
			return nil, errEncrypted
		default:
			return nil, fmt.Errorf("it holds a %s, not a private key on P-256", block.Type)
		}
		if block.Headers["Proc-Type"] != "" {
			return nil, errEncrypted
		}
		if der != nil {
			return nil, errors.New("it holds more than one private key; name a file with one")
		}
		der = block.Bytes
	}
	if der == nil {
		return nil, errors.New("no private key in PEM form; make one with: ota-sign keygen")
	}
	return parsePrivateDER(der)
}

var errEncrypted = errors.New("the private key is encrypted; decrypt it with: openssl ec -in FILE -out FILE")

func parsePrivateDER(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		any, errPKCS8 := x509.ParsePKCS8PrivateKey(der)
		if errPKCS8 != nil {
			return nil, fmt.Errorf("the private key cannot be read (%w); make one on prime256v1 with: ota-sign keygen", err)
		}
		ec, ok := any.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("it holds another kind of key (%T); make one on prime256v1 with: ota-sign keygen", any)
		}
		key = ec
	}
	if key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("its curve is %s; the robots know P-256 only: make a key on prime256v1", key.Curve.Params().Name)
	}
	return key, nil
}
