package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// Errnos are the errors that a call can be made to fail with, by Linux's
// names, in alphabetical order. The interposer has the same list with their
// numbers; a test of package run holds the two equal.
var Errnos = strings.Fields("EACCES EAGAIN EBADF EBUSY ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDQUOT " +
	"EEXIST EFBIG EHOSTUNREACH EINTR EINVAL EIO EISDIR ELOOP EMFILE EMLINK ENAMETOOLONG ENETDOWN ENETRESET " +
	"ENETUNREACH ENFILE ENOBUFS ENODEV ENOENT ENOMEM ENOSPC ENOSYS ENOTCONN ENOTDIR ENOTEMPTY EOPNOTSUPP " +
	"EPERM EPIPE EROFS ESTALE ETIMEDOUT ETXTBSY EXDEV")

func checkErrno(text string) (wrong, hint string) {
	if slices.Contains(Errnos, text) {
		return "", ""
	}
	wrong = fmt.Sprintf("unknown error %s", quote(text))
	if with := "E" + strings.ToUpper(text); slices.Contains(Errnos, with) {
		return wrong, fmt.Sprintf("did you mean %q?", with)
	}
	if near := nearest(text, Errnos); near != "" {
		return wrong, fmt.Sprintf("did you mean %q?", near)
	}
	return wrong, "write it by its name, such as EIO, ENOSPC, EINTR or ECONNRESET"
}
