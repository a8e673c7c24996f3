//go:build !linux

package partition

// SyncData is a full sync where fdatasync is not to be had.
func (f osFile) SyncData() error { return f.Sync() }
