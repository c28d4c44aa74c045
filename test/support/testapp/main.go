// The program that end-to-end tests run as pods: a server to reach and a client to reach it with. Standard library only.
package main

import (
	"fmt"
	"os"
)

const usage = `usage: testapp [serve] [--port 8080] [--delay 0s] [--data DIR]      GET / /env /client /exists/PATH /healthz /readyz, /value, PUT /value/N; SIGTERM: not ready, waits --delay, ends requests, exits 0
       testapp webhook --cert FILE --key FILE [--port 8443]   validating admission webhook: denies what is labelled deny=true
       testapp get [--timeout 5s] [--retry 0s] [--insecure | --ca FILE] [--token FILE] URL...   prints "STATUS BODY" a URL; exit 1 unless all are 2xx
       testapp lookup [--timeout 5s] [--retry 0s] NAME...     prints "NAME ADDRESS..." a name
       testapp srv [--timeout 5s] NAME...                     prints "TARGET PORT" a record
       testapp write FILE TEXT | read FILE | remove FILE | echo TEXT... | copy (stdin to stdout) | allocate MEBIBYTES | id | sleep [DURATION]`

func main() {
	command, arguments := "serve", os.Args[1:]
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	commands := map[string]func([]string) error{
		"serve": serve, "webhook": webhook, "get": get, "lookup": lookup, "srv": srv, "write": write, "read": read, "remove": remove,
		"echo": echo, "copy": copyInput, "allocate": allocate, "id": id, "sleep": sleep,
	}
	run, known := commands[command]
	if !known {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(64)
	}
	if err := run(arguments); err != nil {
		fmt.Fprintln(os.Stderr, "testapp:", err)
		os.Exit(1)
	}
}
