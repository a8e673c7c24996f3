//go:build !linux

package supervisor

import "io"

// Invoked reports whether a program was started to be the interposer, which it is on Linux only: elsewhere a built one has to stand beside it.
func Invoked([]string) bool { return false }

// Main is never reached.
func Main([]string, io.Reader, io.Writer) int { return 2 }
