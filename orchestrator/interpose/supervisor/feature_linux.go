package supervisor

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// probe finds out what the kernel and the container's seccomp profile allow, apart from the filter itself, which shows when it is installed.
func probe() interpose.Features {
	features := interpose.Features{Architecture: runtime.GOARCH, FirstProcess: os.Getpid() == 1}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		features.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	features.ProcessRead = canReadProcess()
	features.DescriptorCopy = canCopyDescriptor()
	return features
}

func canReadProcess() bool {
	source, target := []byte{42}, []byte{0}
	_, errno := (&memory{}).transfer(unix.SYS_PROCESS_VM_READV, &thread{tid: os.Getpid()}, uint64(uintptr(unsafe.Pointer(&source[0]))), target)
	runtime.KeepAlive(source)
	return errno == 0 && target[0] == 42
}

func canCopyDescriptor() bool {
	copied, err := copyDescriptor(os.Getpid(), 0)
	if err == nil {
		unix.Close(copied)
	}
	// Any other error than a refusal is about descriptor 0, which may be closed.
	return err != unix.EPERM && err != unix.ENOSYS
}

// copyDescriptor gives the interposer a descriptor of another process: the same open file, with its position and flags. Docker's default profile allows it to containers with the capability SYS_PTRACE.
func copyDescriptor(process, descriptor int) (int, error) {
	handle, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	return unix.PidfdGetfd(handle, descriptor, 0)
}

// copyDescriptor copies a descriptor of the thread's process.
func (t *thread) copyDescriptor(descriptor int32) (int, error) {
	copied, err := copyDescriptor(t.process, int(descriptor))
	if err != nil {
		return -1, accessDenied(t, err)
	}
	return copied, nil
}

// probeFilter installs a filter that traps nothing, on a thread that ends then.
func probeFilter(features *interpose.Features) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		listener, err := installFilter(buildFilter(nil, 0))
		if err == nil {
			features.KillableWait = true
			features.SyncWakeUp = setSyncWakeUp(listener)
			unix.Close(listener)
		}
		result <- err
	}()
	return <-result
}
