// SPDX-License-Identifier: Apache-2.0

package backplane

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Secret authenticates the envelopes of replicas that share it. It is safe for use by several
// goroutines. A nil Secret authenticates nothing, and believes nothing that is authenticated.
//
// The code stands last in an envelope and covers every byte before it: receiver, sender, numbers
// and body. It is checked on the bytes, before anything in them is read, so what others wrote has
// no influence at all.
type Secret struct{ codes sync.Pool }

// macLength is how much of a code travels: 128 bits, which nobody guesses.
const macLength = 16

// mark is how the field of the code begins.
var mark = append(protowire.AppendTag(nil, fieldMAC, protowire.BytesType), macLength)

// code is a keyed hash and room for its result, so that an envelope costs no allocation.
type code struct {
	hash.Hash
	sum [sha256.Size]byte
}

// NewSecret makes the Secret of a cluster. It is nil without a secret. The secret itself
// authenticates nothing, but a key that is made of it for this purpose.
func NewSecret(secret, cluster string) *Secret {
	if secret == "" {
		return nil
	}
	key := hmac.New(sha256.New, []byte(secret))
	key.Write([]byte("spanwire backplane 1\x00" + cluster))
	derived := key.Sum(nil)
	return &Secret{codes: sync.Pool{New: func() any { return &code{Hash: hmac.New(sha256.New, derived)} }}}
}

// begin reads the body of an envelope, outside of any lock.
func (s *Secret) begin(body []byte) *code {
	if s == nil {
		return nil
	}
	c := s.codes.Get().(*code)
	c.Reset()
	c.Write(body)
	return c
}

// seal reads the header, which follows the body in data, and appends the code. c is not used
// afterwards.
func (s *Secret) seal(c *code, data []byte, header int) []byte {
	if s == nil {
		return data
	}
	c.Write(data[header:])
	data = append(append(data, mark...), c.Sum(c.sum[:0])[:macLength]...)
	s.codes.Put(c)
	return data
}

// verify tells whether the envelope ends in a code, and whether it is the right one.
func (s *Secret) verify(data []byte) (sealed, genuine bool) {
	at := len(data) - macLength
	if at < len(mark) || !bytes.Equal(data[at-len(mark):at], mark) {
		return false, false
	}
	c := s.begin(data[:at-len(mark)])
	genuine = hmac.Equal(c.Sum(c.sum[:0])[:macLength], data[at:])
	s.codes.Put(c)
	return true, genuine
}
