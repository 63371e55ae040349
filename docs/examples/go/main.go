// staking-service: what is its own. Package watched keeps the contract for it.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"

	"staking-service/watched"
)

func main() {
	wallet := watched.Answers(cmp.Or(os.Getenv("WALLET_SERVICE"), "http://wallet-service:3000"))
	service := watched.New(cmp.Or(os.Getenv("VERSION"), "dev"), map[string]watched.Check{"wallet-service": wallet})
	service.Handle("GET", "/api/stakes/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !service.Up("wallet-service") {
			http.Error(w, "the wallets do not answer", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"id": r.PathValue("id")})
	})
	address := ":" + cmp.Or(os.Getenv("PORT"), "3005")
	server := http.Server{Addr: address, Handler: service, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
