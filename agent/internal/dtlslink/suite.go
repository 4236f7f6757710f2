package dtlslink

import (
	"crypto/sha512"
	"errors"
	"hash"
	"sync/atomic"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/clientcertificate"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// pskAES256 is TLS_PSK_WITH_AES_256_GCM_SHA384 (RFC 5487, section 2), which
// the library does not bring but lets be added.
type pskAES256 struct {
	gcm atomic.Pointer[ciphersuite.GCM]
}

var errNoKeys = errors.New("the cipher has no keys yet")

func (*pskAES256) String() string             { return "TLS_PSK_WITH_AES_256_GCM_SHA384" }
func (*pskAES256) ID() dtls.CipherSuiteID     { return 0x00a9 }
func (*pskAES256) HashFunc() func() hash.Hash { return sha512.New384 }
func (*pskAES256) ECC() bool                  { return false }

func (*pskAES256) CertificateType() clientcertificate.Type { return clientcertificate.Type(0) }

func (*pskAES256) AuthenticationType() dtls.CipherSuiteAuthenticationType {
	return dtls.CipherSuiteAuthenticationTypePreSharedKey
}

func (*pskAES256) KeyExchangeAlgorithm() dtls.CipherSuiteKeyExchangeAlgorithm {
	return dtls.CipherSuiteKeyExchangeAlgorithmPsk
}

// Init derives the keys: no MAC keys, 32 bytes of key and 4 of the nonce's
// fixed part for each direction (RFC 5288, section 3).
func (s *pskAES256) Init(master, clientRandom, serverRandom []byte, isClient bool) error {
	k, err := prf.GenerateEncryptionKeys(master, clientRandom, serverRandom, 0, 32, 4, s.HashFunc())
	if err != nil {
		return err
	}
	mine, mineIV, theirs, theirsIV := k.ClientWriteKey, k.ClientWriteIV, k.ServerWriteKey, k.ServerWriteIV
	if !isClient {
		mine, mineIV, theirs, theirsIV = theirs, theirsIV, mine, mineIV
	}
	gcm, err := ciphersuite.NewGCM(mine, mineIV, theirs, theirsIV)
	if err != nil {
		return err
	}
	s.gcm.Store(gcm)
	return nil
}

func (s *pskAES256) IsInitialized() bool { return s.gcm.Load() != nil }

func (s *pskAES256) Encrypt(p *recordlayer.RecordLayer, raw []byte) ([]byte, error) {
	if g := s.gcm.Load(); g != nil {
		return g.Encrypt(p, raw)
	}
	return nil, errNoKeys
}

func (s *pskAES256) Decrypt(h recordlayer.Header, in []byte) ([]byte, error) {
	if g := s.gcm.Load(); g != nil {
		return g.Decrypt(h, in)
	}
	return nil, errNoKeys
}
