// SPDX-License-Identifier: Apache-2.0

package sessionproxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/spanwire/spanwire/internal/sio"
)

// The secret itself never travels. A request shows a token that is made of it for one replica in
// its present life, and the answer shows another: so neither is of use elsewhere, a replica that
// took over the address of one that died differs from that one, and so does any other program at an
// address that was announced wrongly.

const (
	forRequests = "request"
	forAnswers  = "answer"
)

// token proves that its maker knows the secret, to or as the replica.
func token(o *Options, purpose string, replica sio.ReplicaID) string {
	mac := hmac.New(sha256.New, []byte(o.Secret))
	for _, part := range []string{"spanwire forward 1", purpose, o.Cluster, string(replica)} {
		mac.Write([]byte(part))
		mac.Write([]byte{0})
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// same compares two tokens in a time that tells nothing.
func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
