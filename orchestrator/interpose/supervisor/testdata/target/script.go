package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// script: DIRECTORY STEP... makes each step, which is written with commas: make,F; mkdir,D; write,F,OFFSET,TEXT; cut,F,LENGTH; shorten,F,LENGTH, by its name; map,F,TEXT, through memory; rename,F,G; unlink,F; sync,F; and sync for the directory.
func script(arguments []string) error {
	if err := os.Chdir(arguments[0]); err != nil {
		return err
	}
	for _, step := range arguments[1:] {
		if err := scriptStep(strings.Split(step, ",")); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return nil
}

func scriptStep(step []string) error {
	switch step[0] {
	case "rename":
		return unix.Rename(step[1], step[2])
	case "unlink":
		return unix.Unlink(step[1])
	case "mkdir":
		return unix.Mkdir(step[1], 0o750)
	case "shorten":
		return unix.Truncate(step[1], int64(number(step[2])))
	}
	name, flags := ".", unix.O_RDONLY
	if len(step) > 1 {
		name = step[1]
	}
	if step[0] != "sync" {
		flags = unix.O_WRONLY
	}
	if step[0] == "map" {
		flags = unix.O_RDWR
	}
	if step[0] == "make" {
		flags |= unix.O_CREAT | unix.O_EXCL
	}
	file, err := unix.Open(name, flags, 0o640)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	switch step[0] {
	case "write":
		_, err = unix.Pwrite(file, []byte(step[3]), int64(number(step[2])))
	case "cut":
		err = unix.Ftruncate(file, int64(number(step[2])))
	case "map":
		var mapped []byte
		if mapped, err = unix.Mmap(file, 0, len(step[2]), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			copy(mapped, step[2])
		}
	case "sync":
		err = unix.Fsync(file)
	}
	return err
}
