//go:build !amd64

package main

import "errors"

func vfork([]string) error { return errors.New("for amd64 only") }
