// Command actor is the service of the tests' systems: it does what its
// environment says. The defaults do nothing and wait for SIGTERM.
//
//	LINES=20          print this many lines, "life 1 line 7."; endless for no end
//	EVERY=5ms         this long between two lines
//	TOKEN=a           at the end of each line
//	STDERR=yes        every second line goes to standard error
//	LIFE=/life        count its lives in this file
//	COUNT=/said       keep how many lines were printed in this file, by life
//	PAUSE=3:1s        say nothing for a while after line 3
//	THREADS=30        have so many threads besides its own
//	SHARED=1000       as this user, make memory that is shared by a key, and say when it is there already
//	EXIT=3            exit with this code after the lines
//	SIGTERM=7         exit with this code on SIGTERM; ignore to go on
//	FILE_X=/a:text    write a file at the start of each life
//	APPEND_X=/a:text  append to one
//	FOLDER=/a         make this folder first, where it is not there
//	HEALTHY=5         the health check passes after this many lines
//	HEALTHY=db:80     … or once that address answers
//	SERVE=:80         answer on this port
//	PING=db:80        say when that address begins and ceases to answer
//
// Called as actor healthy, it is the health check; actor cat FILE and actor
// say TEXT CODE are commands for expectations.
package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// healthFile is where any user may write.
const healthFile = "/dev/shm/healthy"

func main() {
	if len(os.Args) > 1 {
		command(os.Args[1:])
		return
	}
	a := &actor{terminated: make(chan os.Signal, 1)}
	signal.Notify(a.terminated, syscall.SIGTERM)
	a.life = nextLife()
	os.Remove(healthFile)
	a.writeFiles()
	if threads := os.Getenv("THREADS"); threads != "" {
		haveThreads(number(threads))
	}
	if user := os.Getenv("SHARED"); user != "" {
		share(number(user))
	}
	if address := os.Getenv("SERVE"); address != "" {
		serve(address)
	}
	if address := os.Getenv("PING"); address != "" {
		go ping(address)
	}
	if address := os.Getenv("HEALTHY"); strings.Contains(address, ":") {
		go func() {
			for !answers(address) {
				time.Sleep(10 * time.Millisecond)
			}
			must(os.WriteFile(healthFile, nil, 0o644))
		}()
	}
	a.print()
	if code := os.Getenv("EXIT"); code != "" {
		os.Exit(number(code))
	}
	for {
		a.end(<-a.terminated)
	}
}

func command(arguments []string) {
	switch arguments[0] {
	case "healthy":
		_, err := os.Stat(healthFile)
		must(err)
	case "cat":
		text, err := os.ReadFile(arguments[1])
		must(err)
		os.Stdout.Write(text)
	case "share":
		const anew = 0o1000 | 0o2000 // IPC_CREAT and IPC_EXCL
		if _, _, errno := syscall.Syscall(syscall.SYS_SHMGET, 4711, 4096, anew|0o600); errno != 0 {
			fmt.Println("make shared memory:", errno)
		}
	case "say":
		fmt.Println(arguments[1])
		os.Exit(number(arguments[2]))
	default:
		must(fmt.Errorf("no such command: %s", arguments[0]))
	}
}

// haveThreads starts threads that do nothing.
func haveThreads(count int) {
	var started sync.WaitGroup
	started.Add(count)
	for range count {
		go func() {
			runtime.LockOSThread()
			started.Done()
			select {}
		}()
	}
	started.Wait()
}

// share makes System V shared memory as another user, whose it is then. It is
// made by a process of that user.
func share(user int) {
	child := exec.Command("/proc/self/exe", "share")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	must(child.Run())
}

type actor struct {
	life, printed int
	terminated    chan os.Signal
}

func nextLife() int {
	file := cmp.Or(os.Getenv("LIFE"), "/life")
	text, _ := os.ReadFile(file) // there is none in the first
	life, _ := strconv.Atoi(string(text))
	life++
	must(os.WriteFile(file, []byte(strconv.Itoa(life)), 0o644))
	return life
}

func (a *actor) writeFiles() {
	if folder := os.Getenv("FOLDER"); folder != "" {
		must(os.MkdirAll(folder, 0o755))
	}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		path, text, _ := strings.Cut(value, ":")
		switch {
		case strings.HasPrefix(name, "FILE_"):
			must(os.WriteFile(path, []byte(text), 0o644))
			fmt.Println("wrote", path)
		case strings.HasPrefix(name, "APPEND_"):
			file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			must(err)
			_, err = fmt.Fprintf(file, "%s %d\n", text, a.life)
			must(err)
			must(file.Close())
		}
	}
}

func (a *actor) print() {
	lines := 0
	switch text := os.Getenv("LINES"); text {
	case "":
	case "endless":
		lines = 1 << 40
	default:
		lines = number(text)
	}
	every := duration(os.Getenv("EVERY"))
	pauseAfter, pause, _ := strings.Cut(os.Getenv("PAUSE"), ":")
	token := os.Getenv("TOKEN")
	var count *os.File
	if path := os.Getenv("COUNT"); path != "" {
		var err error
		count, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
		must(err)
	}
	for a.printed < lines {
		stream := os.Stdout
		if os.Getenv("STDERR") != "" && a.printed%2 == 1 {
			stream = os.Stderr
		}
		a.printed++
		fmt.Fprintf(stream, "life %d line %d.%s\n", a.life, a.printed, token)
		if count != nil {
			// One line of ten bytes for each life.
			_, err := count.WriteAt(fmt.Appendf(nil, "%9d\n", a.printed), int64(10*(a.life-1)))
			must(err)
		}
		if os.Getenv("HEALTHY") == strconv.Itoa(a.printed) {
			must(os.WriteFile(healthFile, nil, 0o644))
		}
		if pauseAfter == strconv.Itoa(a.printed) {
			a.rest(duration(pause))
		}
		a.rest(every)
	}
}

func (a *actor) rest(how time.Duration) {
	timer := time.NewTimer(how)
	defer timer.Stop()
	for {
		select {
		case signal := <-a.terminated:
			a.end(signal)
		case <-timer.C:
			return
		}
	}
}

func (a *actor) end(os.Signal) {
	code := os.Getenv("SIGTERM")
	if code == "ignore" {
		fmt.Println("not now")
		return
	}
	fmt.Printf("life %d ended after %d lines\n", a.life, a.printed)
	os.Exit(number("0" + code))
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	must(err)
	go func() {
		for {
			connection, err := listener.Accept()
			must(err)
			io.WriteString(connection, "pong\n")
			connection.Close()
		}
	}()
}

// answers says whether somebody answers there, not only accepts: the kernel
// accepts for a process that is frozen.
func answers(address string) bool {
	connection, err := net.DialTimeout("tcp", address, 400*time.Millisecond)
	if err != nil {
		return false
	}
	defer connection.Close()
	connection.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
	answer, _ := io.ReadAll(connection)
	return string(answer) == "pong\n"
}

func ping(address string) {
	host, _, _ := net.SplitHostPort(address)
	reached := false
	for {
		if now := answers(address); now != reached {
			reached = now
			fmt.Println(map[bool]string{true: "reached", false: "lost"}[now], host)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	must(err)
	return value
}

func duration(text string) time.Duration {
	if text == "" {
		return 0
	}
	value, err := time.ParseDuration(text)
	must(err)
	return value
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(125)
	}
}
