// Command subject is what runs in the containers of the engine's tests: a
// static program whose first argument says what to do.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		fail("want a verb")
	}
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "wait": // until SIGTERM
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		fmt.Println("ready")
		<-terminated
		fmt.Println("bye")
		os.Exit(3)
	case "deaf": // to SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		block()
	case "lives": // lines [wait]: print that many on both streams, and die or wait
		lives(arguments)
	case "die": // lines: print that many and exit with 7
		for i := range number(arguments[0]) {
			fmt.Fprintf(os.Stderr, "last words %d\n", i+1)
		}
		os.Exit(7)
	case "long": // bytes: print one line of that many, then one without a newline
		fmt.Println(strings.Repeat("x", number(arguments[0])))
		fmt.Print("no newline")
	case "echo": // standard input, line by line, until it ends
		input := bufio.NewScanner(os.Stdin)
		fmt.Fprintln(os.Stderr, "listening")
		for input.Scan() {
			fmt.Println("echo " + input.Text())
		}
		os.Exit(5)
	case "exists": // path: exit with 0 when it does
		if _, err := os.Stat(arguments[0]); err != nil {
			fail(err.Error())
		}
	case "write": // path content
		if err := os.MkdirAll(filepath.Dir(arguments[0]), 0o755); err != nil {
			fail(err.Error())
		}
		if err := os.WriteFile(arguments[0], []byte(arguments[1]), 0o644); err != nil {
			fail(err.Error())
		}
	case "grow": // path: write numbered lines to it for ever
		file, err := os.Create(arguments[0])
		if err != nil {
			fail(err.Error())
		}
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(file, "line %d\n", i); err != nil {
				fail(err.Error())
			}
			if i == 0 {
				fmt.Println("ready")
			}
		}
	case "link": // target path
		if err := os.Symlink(arguments[0], arguments[1]); err != nil {
			fail(err.Error())
		}
	case "hardlink": // target path
		if err := os.Link(arguments[0], arguments[1]); err != nil {
			fail(err.Error())
		}
	case "list": // folder: path, mode, owner and link of everything below it
		list(arguments[0])
	case "cat":
		content, err := os.ReadFile(arguments[0])
		if err != nil {
			fail(err.Error())
		}
		os.Stdout.Write(content)
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "resolve": // name
		addresses, err := net.LookupHost(arguments[0])
		if err != nil {
			fail(err.Error())
		}
		fmt.Println(strings.Join(addresses, " "))
	case "flood": // bytes
		for printed := 0; printed < number(arguments[0]); printed += 1024 {
			fmt.Print(strings.Repeat("y", 1023) + "\n")
		}
	default:
		fail("unknown verb " + os.Args[1])
	}
}

// lives counts the lives of the container in a file, so that every line says
// which life it belongs to.
func lives(arguments []string) {
	const counter = "/life"
	life := 1
	if text, err := os.ReadFile(counter); err == nil {
		life = number(string(text)) + 1
	}
	if err := os.WriteFile(counter, []byte(strconv.Itoa(life)), 0o644); err != nil {
		fail(err.Error())
	}
	for i := range number(arguments[0]) {
		fmt.Printf("life %d line %d\n", life, i+1)
		if i%3 == 0 {
			fmt.Fprintf(os.Stderr, "life %d line %d\n", life, i+1)
		}
	}
	if len(arguments) > 1 {
		block()
	}
}

// block waits for ever; a bare select would be taken for a deadlock.
func block() {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR1)
	<-never
}

func list(folder string) {
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		target, _ := os.Readlink(path)
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %v %d:%d %s", strings.TrimPrefix(path, folder), info.Mode(), owner.Uid, owner.Gid, target)))
		return nil
	})
	if err != nil {
		fail(err.Error())
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fail(err.Error())
	}
	return value
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
