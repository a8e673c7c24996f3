//go:build !unix

package partition

import (
	"errors"
	"fmt"
	"io"
)

// Lock refuses where there is no flock: two writers would destroy each other's
// rows.
func (osFS) Lock(name string) (io.Closer, error) {
	return nil, fmt.Errorf("lock %s: %w on this operating system; give Options.FS", name, errors.ErrUnsupported)
}
