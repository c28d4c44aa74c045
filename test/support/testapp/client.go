package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// until tries once, and then again every 200 ms for as long as retry lasts.
func until(retry time.Duration, try func() error) error {
	deadline := time.Now().Add(retry)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func get(arguments []string) error {
	flags := flag.NewFlagSet("get", flag.ExitOnError)
	timeout := flags.Duration("timeout", 5*time.Second, "of one attempt")
	retry := flags.Duration("retry", 0, "how long to go on trying")
	insecure := flags.Bool("insecure", false, "do not verify TLS")
	_ = flags.Parse(arguments)
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: *insecure},
	}}
	var failures []error
	for _, url := range flags.Args() {
		failures = append(failures, until(*retry, func() error {
			answer, err := client.Get(url)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
			if err != nil {
				return err
			}
			line := fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(body)))
			if answer.StatusCode/100 != 2 {
				return errors.New(url + " answered " + line)
			}
			fmt.Println(line)
			return nil
		}))
	}
	return errors.Join(failures...)
}

func lookup(arguments []string) error {
	flags := flag.NewFlagSet("lookup", flag.ExitOnError)
	timeout := flags.Duration("timeout", 5*time.Second, "of one attempt")
	retry := flags.Duration("retry", 0, "how long to go on trying")
	_ = flags.Parse(arguments)
	var failures []error
	for _, name := range flags.Args() {
		failures = append(failures, until(*retry, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), *timeout)
			defer cancel()
			addresses, err := net.DefaultResolver.LookupHost(ctx, name)
			if err == nil {
				fmt.Println(name, strings.Join(addresses, " "))
			}
			return err
		}))
	}
	return errors.Join(failures...)
}

func write(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("write FILE TEXT")
	}
	file, err := os.Create(arguments[0])
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintln(file, strings.Join(arguments[1:], " ")); err != nil {
		return err
	}
	return file.Sync()
}

func read(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("read FILE")
	}
	content, err := os.ReadFile(arguments[0])
	fmt.Print(string(content))
	return err
}

func echo(arguments []string) error {
	fmt.Println(strings.Join(arguments, " "))
	return nil
}

func sleep(arguments []string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	duration := 24 * 365 * time.Hour
	if len(arguments) > 0 {
		parsed, err := time.ParseDuration(arguments[0])
		if err != nil {
			return err
		}
		duration = parsed
	}
	select {
	case <-stop:
	case <-time.After(duration):
	}
	return nil
}
