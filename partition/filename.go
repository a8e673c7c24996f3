package partition

import (
	"fmt"
	"strings"
)

const (
	fileInfix  = "-partition-"
	fileSuffix = ".csv"
)

// fileName is the name of a partition file.
func fileName(prefix string, partition int) string {
	return fmt.Sprintf("%s%s%03d%s", prefix, fileInfix, partition, fileSuffix)
}

// parseFileName is the inverse of fileName; ok is false for any other name.
func parseFileName(name string) (prefix string, partition int, ok bool) {
	stem, found := strings.CutSuffix(name, fileSuffix)
	at := len(stem) - len(fileInfix) - 3
	if !found || at < 1 || stem[at:at+len(fileInfix)] != fileInfix {
		return "", 0, false
	}
	for _, digit := range []byte(stem[at+len(fileInfix):]) {
		if digit < '0' || digit > '9' {
			return "", 0, false
		}
		partition = partition*10 + int(digit-'0')
	}
	return stem[:at], partition, true
}
