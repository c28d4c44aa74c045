package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
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
	ca := flags.String("ca", "", "file of the authorities to verify TLS by")
	token := flags.String("token", "", "file of the bearer token to send")
	_ = flags.Parse(arguments)
	trusted, err := authorities(*ca)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: *insecure, RootCAs: trusted},
	}}
	var failures []error
	for _, url := range flags.Args() {
		failures = append(failures, until(*retry, func() error {
			asked, err := requestOf(url, *token)
			if err != nil {
				return err
			}
			answer, err := client.Do(asked)
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

// authorities reads PEM certificates; nil, the system's own, without a file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, errors.New("no certificate in " + file)
	}
	return pool, nil
}

func requestOf(url, tokenFile string) (*http.Request, error) {
	asked, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil || tokenFile == "" {
		return asked, err
	}
	token, err := os.ReadFile(tokenFile)
	asked.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return asked, err
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

func srv(arguments []string) error {
	flags := flag.NewFlagSet("srv", flag.ExitOnError)
	timeout := flags.Duration("timeout", 5*time.Second, "of one attempt")
	_ = flags.Parse(arguments)
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	for _, name := range flags.Args() {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "", "", name)
		if err != nil {
			return err
		}
		for _, record := range records {
			fmt.Println(record.Target, record.Port)
		}
	}
	return nil
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

func remove(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("remove FILE")
	}
	return os.Remove(arguments[0])
}

func copyInput([]string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return err
}

// allocate fills memory, and keeps it.
func allocate(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("allocate MEBIBYTES")
	}
	mebibytes, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	memory := make([]byte, mebibytes<<20)
	for at := range memory {
		memory[at] = 1
	}
	fmt.Println("allocated", len(memory)>>20)
	return sleep(nil)
}

func id([]string) error {
	groups, err := os.Getgroups()
	fmt.Println(os.Getuid(), os.Getgid(), groups)
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
