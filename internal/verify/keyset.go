package verify

import (
	"hash/maphash"

	"syncline"
)

// KeySet remembers which keys were seen, as hashes of 64 bits: of a million keys it has about 16 MB. Beyond its bound it takes no more,
// and what it does not have has to be looked for elsewhere. Two keys whose hashes are equal look like one: once in 18 million sets of a
// million keys. It is used by one goroutine at a time.
type KeySet struct {
	seed  maphash.Seed
	table []uint64
	used  int
	most  int
	full  bool
}

// maxKeys bounds a set: 128 MiB.
const maxKeys = 8 << 20

// NewKeySet returns an empty set.
func NewKeySet() *KeySet { return &KeySet{seed: maphash.MakeSeed(), most: maxKeys} }

// Add adds a key.
func (s *KeySet) Add(k syncline.Key) {
	if s.used >= s.most {
		s.full = true
		return
	}
	if 2*(s.used+1) > len(s.table) {
		old := s.table
		s.table = make([]uint64, max(1024, 2*len(old)))
		for _, h := range old {
			if h != 0 {
				s.table[s.place(h)] = h
			}
		}
	}
	h := s.hash(k)
	if at := s.place(h); s.table[at] == 0 {
		s.table[at] = h
		s.used++
	}
}

// Has reports whether the key was added.
func (s *KeySet) Has(k syncline.Key) bool {
	if len(s.table) == 0 {
		return false
	}
	return s.table[s.place(s.hash(k))] != 0
}

// Whole reports whether the set has every key that was added.
func (s *KeySet) Whole() bool { return !s.full }

// hash is never 0, which is an empty place.
func (s *KeySet) hash(k syncline.Key) uint64 { return maphash.String(s.seed, string(k)) | 1 }

func (s *KeySet) place(h uint64) int {
	mask := uint64(len(s.table) - 1)
	at := (h >> 1) & mask
	for s.table[at] != 0 && s.table[at] != h {
		at = (at + 1) & mask
	}
	return int(at)
}
