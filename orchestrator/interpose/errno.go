package interpose

// Errnos are the errors that a call can be made to fail with, by name, with Linux's numbers, which are the same on amd64 and arm64. They stand here rather than in package syscall's words because the orchestrator may run on another system than its containers do.
var Errnos = map[string]int32{
	"EPERM": 1, "ENOENT": 2, "EINTR": 4, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13,
	"EBUSY": 16, "EEXIST": 17, "EXDEV": 18, "ENODEV": 19, "ENOTDIR": 20, "EISDIR": 21, "EINVAL": 22,
	"ENFILE": 23, "EMFILE": 24, "ETXTBSY": 26, "EFBIG": 27, "ENOSPC": 28, "EROFS": 30, "EMLINK": 31, "EPIPE": 32,
	"EDEADLK": 35, "ENAMETOOLONG": 36, "ENOSYS": 38, "ENOTEMPTY": 39, "ELOOP": 40,
	"EOPNOTSUPP": 95, "ENETDOWN": 100, "ENETUNREACH": 101, "ENETRESET": 102, "ECONNABORTED": 103,
	"ECONNRESET": 104, "ENOBUFS": 105, "ENOTCONN": 107, "ETIMEDOUT": 110, "ECONNREFUSED": 111,
	"EHOSTUNREACH": 113, "ESTALE": 116, "EDQUOT": 122,
}
