package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func listen(server *http.Server, delay time.Duration, ready *atomic.Bool, start func() error) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	go func() { failed <- start() }()
	ready.Store(true)
	fmt.Println("listening on", server.Addr)
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	ready.Store(false)
	fmt.Println("stopping")
	time.Sleep(delay)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func answerReady(ready *atomic.Bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	port := flags.Int("port", 8080, "")
	delay := flags.Duration("delay", 0, "time between SIGTERM and the end of listening")
	data := flags.String("data", "", "directory of the replica at /value")
	_ = flags.Parse(arguments)
	var ready atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintln(w, name)
		for _, key := range []string{"POD_NAME", "POD_NAMESPACE", "POD_IP", "NODE_NAME", "VERSION"} {
			if value := os.Getenv(key); value != "" {
				fmt.Fprintf(w, "%s=%s\n", key, value)
			}
		}
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		all := os.Environ()
		sort.Strings(all)
		fmt.Fprintln(w, strings.Join(all, "\n"))
	})
	mux.HandleFunc("/client", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintln(w, host)
	})
	// What probes ask: a test makes and removes the file.
	mux.HandleFunc("/exists/{path...}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat("/" + r.PathValue("path")); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	})
	if *data != "" {
		keepValue(mux, *data)
	}
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", answerReady(&ready))
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: mux}
	return listen(server, *delay, &ready, server.ListenAndServe)
}

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID    string `json:"uid"`
	Object struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	} `json:"object"`
}

type response struct {
	UID     string  `json:"uid"`
	Allowed bool    `json:"allowed"`
	Status  *status `json:"status,omitempty"`
}

type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func webhook(arguments []string) error {
	flags := flag.NewFlagSet("webhook", flag.ExitOnError)
	port := flags.Int("port", 8443, "")
	cert := flags.String("cert", "/tls/tls.crt", "")
	key := flags.String("key", "/tls/tls.key", "")
	_ = flags.Parse(arguments)
	var ready atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", answerReady(&ready))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		var asked review
		body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<20))
		if err := json.Unmarshal(body, &asked); err != nil || asked.Request == nil {
			http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := &response{UID: asked.Request.UID, Allowed: true}
		if asked.Request.Object.Metadata.Labels["deny"] == "true" {
			answer.Allowed = false
			answer.Status = &status{Code: 403, Message: "denied by testapp: label deny=true"}
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer})
	})
	server := &http.Server{Addr: fmt.Sprintf(":%d", *port), Handler: mux}
	return listen(server, 0, &ready, func() error { return server.ListenAndServeTLS(*cert, *key) })
}
