// Command cadvisor serves per-container metrics of the Docker containers on this host.
//
// It is the cAdvisor library with a command of its own: the project's command is a nested module that
// no Go module proxy serves. The flags, metric names and paths used here are those of the official
// image, so that either can run in the other's place.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/cadvisor/cache/memory"
	"github.com/google/cadvisor/container"
	_ "github.com/google/cadvisor/container/docker/install"
	v2 "github.com/google/cadvisor/info/v2"
	"github.com/google/cadvisor/manager"
	"github.com/google/cadvisor/metrics"
	"github.com/google/cadvisor/utils/sysfs"
	"github.com/google/cadvisor/version"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// Only the latest sample is scraped; two minutes cover several housekeeping intervals.
const sampleAge = 2 * time.Minute

func main() {
	klog.InitFlags(nil)
	port := flag.Int("port", 8080, "port to listen on")
	storeLabels := flag.Bool("store_container_labels", true, "turn every container label into a metric label")
	keptLabels := flag.String("whitelisted_container_labels", "",
		"comma-separated container labels to keep when store_container_labels is false")
	disabled := container.AllMetrics.Difference(container.MetricSet{
		container.CpuUsageMetrics:     {},
		container.MemoryUsageMetrics:  {},
		container.DiskIOMetrics:       {},
		container.NetworkUsageMetrics: {},
		container.OOMMetrics:          {},
	})
	flag.Var(&disabled, "disable_metrics", "comma-separated kinds of metrics to leave out")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Printf("cAdvisor version %s\n", version.Version)
		return
	}
	labels := metrics.DefaultContainerLabels
	if !*storeLabels {
		labels = metrics.BaseContainerLabels(strings.Split(*keptLabels, ","))
	}
	if err := serve(*port, container.AllMetrics.Difference(disabled), labels); err != nil {
		klog.Exitf("cadvisor: %v", err)
	}
}

// serve collects the given kinds of metrics and answers /metrics and /healthz on port until SIGTERM.
func serve(port int, kinds container.MetricSet, labels metrics.ContainerLabelsFunc) error {
	// One empty prefix is the library's "no other cgroups"; an empty list makes it panic.
	noOtherCgroups := []string{""}
	containers, err := manager.New(memory.New(sampleAge, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfigFlags, kinds, http.DefaultClient, noOtherCgroups, nil, "", 0)
	if err != nil {
		return fmt.Errorf("read the host's cgroups (are /rootfs, /sys and /var/run mounted?): %w", err)
	}
	registry := prometheus.NewRegistry()
	latest := v2.RequestOptions{IdType: v2.TypeName, Count: 1, Recursive: true}
	registry.MustRegister(
		metrics.NewPrometheusCollector(containers, labels, kinds, clock.RealClock{}, latest),
		metrics.NewPrometheusMachineCollector(containers, kinds),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if err := containers.Start(); err != nil {
		return fmt.Errorf("watch the host's containers: %w", err)
	}
	// A container that vanishes during a scrape must not cost the whole scrape.
	scrape := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	mux := http.NewServeMux()
	mux.Handle("/metrics", scrape)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })

	server := &http.Server{Addr: net.JoinHostPort("", strconv.Itoa(port)), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	go func() {
		<-stopped.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen on port %d: %w", port, err)
	}
	return containers.Stop()
}
