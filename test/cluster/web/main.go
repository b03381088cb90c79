// Command web serves the files of a folder, in the pods of the cluster tests:
//
//	web FOLDER ADDRESS
//
// It ends at once where there is no such folder.
package main

import (
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: web FOLDER ADDRESS")
	}
	folder, err := os.OpenRoot(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: os.Args[2], Handler: http.FileServerFS(folder.FS()), ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}
