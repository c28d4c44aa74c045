package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// One replica of a value, in a directory of its own. GET /value answers "HOSTNAME LIFE NUMBER", where LIFE is another one each time that the program starts;
// PUT /value/NUMBER keeps the greater of what it has and what is sent, and answers the same.
func keepValue(mux *http.ServeMux, directory string) {
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	life := hex.EncodeToString(random)
	name, _ := os.Hostname()
	file := filepath.Join(directory, "value")
	var one sync.Mutex
	read := func() (int64, error) {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	answer := func(w http.ResponseWriter, value int64, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, name, life, value)
	}
	mux.HandleFunc("GET /value", func(w http.ResponseWriter, _ *http.Request) {
		one.Lock()
		defer one.Unlock()
		value, err := read()
		answer(w, value, err)
	})
	mux.HandleFunc("PUT /value/{number}", func(w http.ResponseWriter, r *http.Request) {
		sent, err := strconv.ParseInt(r.PathValue("number"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		one.Lock()
		defer one.Unlock()
		value, err := read()
		if err == nil && sent > value {
			value = sent
			err = os.WriteFile(file, []byte(strconv.FormatInt(value, 10)), 0o600)
		}
		answer(w, value, err)
	})
}
