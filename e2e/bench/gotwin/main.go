// Command gotwin answers what roost-scaler answers, with Go's net/http: the comparator of the benchmark.
package main

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

type pool struct {
	desired, current, pending, slots, running int
	wait                                      float64
	at                                        time.Time
	reason                                    string
}

func main() {
	var lock sync.Mutex
	pools := map[string]*pool{"ns/c0/cn": {desired: 5, current: 1, pending: 7, slots: 9, running: 2, wait: 3.25, at: time.Now(),
		reason: "panic: 7 slots wait up to 3.2 s, 2 run"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/namespaces/{ns}/clusters/{c}/pools/{p}", func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer caller")) != 1 {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		lock.Lock()
		p := pools[r.PathValue("ns")+"/"+r.PathValue("c")+"/"+r.PathValue("p")]
		lock.Unlock()
		if p == nil {
			http.Error(w, "", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintf(w, `{"v":1,"desired":%d,"active":1,"current":%d,"draining":0,"queue":{"pending":%d,"oldest_wait_s":%.3f,`+
			`"required_slots":%d},"running":%d,"age_ms":%d,"ts":%.3f,"epoch":42,"reason":"%s"}`,
			p.desired, p.current, p.pending, p.wait, p.slots, p.running, 180, float64(time.Now().UnixMilli())/1000, p.reason)
	})
	fmt.Println(http.ListenAndServe(os.Args[1], mux))
}
