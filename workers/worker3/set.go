package worker3

// set holds the fingerprints of ids, in 16 bytes each and no pointers: of ten
// million, Go's own map takes 600 MB while it grows.
type set struct {
	slots []fingerprint // 0 is an empty one; a power of two, at most three quarters full
	count int
}

func (s *set) has(id fingerprint) bool {
	return s.count > 0 && s.slots[s.slot(id)] == id
}

func (s *set) add(id fingerprint) {
	if 4*(s.count+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([]fingerprint, max(16, 2*len(old)))
		for _, id := range old {
			if id != 0 {
				s.slots[s.slot(id)] = id
			}
		}
	}
	if slot := s.slot(id); s.slots[slot] == 0 {
		s.slots[slot] = id
		s.count++
	}
}

// slot is where an id is, or where it belongs.
func (s *set) slot(id fingerprint) int {
	mask := len(s.slots) - 1
	slot := int(id) & mask
	for s.slots[slot] != 0 && s.slots[slot] != id {
		slot = (slot + 1) & mask
	}
	return slot
}
