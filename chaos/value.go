package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// The values of a record prove themselves: whoever reads one can tell, without knowing what was written, that it belongs to this key and version
// and is whole. PostgreSQL can, too: md5 is what both have.

// proof is the val of a record: of reg with the key "7", of line with the key "3,2".
func (p plan) proof(entity, key string, ver int64) string {
	sum := md5.Sum(fmt.Appendf(nil, "%d:%s:%s:%d", p.Seed, entity, key, ver))
	return hex.EncodeToString(sum[:])
}

// badMark begins a val that the warehouse refuses.
const badMark = "bad:"

// proven reports whether val is what a record of this key and version has, planted bad ones included.
func (p plan) proven(entity, key string, ver int64, val string) bool {
	return strings.TrimPrefix(val, badMark) == p.proof(entity, key, ver)
}

// tier is gold for half of all versions.
func tier(proof string) string {
	if proof[0] < '8' {
		return "gold"
	}
	return "plain"
}

// large is the large value of a number: text that does not compress, and its sum, which stands beside it in the row.
func (p plan) large(n int64) (text, sum string) {
	rnd := rand.New(rand.NewPCG(p.Seed, uint64(n)))
	size := p.Shape.Big
	if rnd.IntN(p.Shape.Wide) == 0 {
		size *= 40
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, size)
	for i := 0; i < len(b); {
		for bits, k := rnd.Uint64(), 0; k < 10 && i < len(b); k++ {
			b[i] = letters[bits&63]
			bits >>= 6
			i++
		}
	}
	md := md5.Sum(b)
	return string(b), hex.EncodeToString(md[:])
}
