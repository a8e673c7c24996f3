package cli

import (
	"io"
	"sync"
)

// serialWriter lets one goroutine write at a time: the notice of a second
// interrupt comes while the progress is still being written. Two streams can
// share a lock, since they may be one terminal.
type serialWriter struct {
	mu   sync.Mutex
	with *serialWriter // whose lock to take; nil: its own
	to   io.Writer
}

func (s *serialWriter) Write(text []byte) (int, error) {
	lock := &s.mu
	if s.with != nil {
		lock = &s.with.mu
	}
	lock.Lock()
	defer lock.Unlock()
	return s.to.Write(text)
}
