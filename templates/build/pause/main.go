// The pause container: it holds a pod's namespaces, and as process 1 of a pod that shares its process namespace it reaps orphans.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

func main() {
	for _, argument := range os.Args[1:] {
		if argument == "-v" {
			fmt.Println("pause", version)
			return
		}
	}
	runtime.GOMAXPROCS(1)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
	}
}
