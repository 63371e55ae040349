// Package watched gives a service the metrics of capability http, /health, and an eye on its dependencies.
package watched

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/felixge/httpsnoop"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "http_requests_total", Help: "Requests answered.",
	}, []string{"method", "route", "status"})
	seconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_duration_seconds", Help: "Time to the answer.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10},
	}, []string{"method", "route"})
	dependencyUp = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "service_dependency_up", Help: "1 when the dependency answers, else 0.",
	}, []string{"dependency"})
	buildInfo = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Name: "service_build_info", Help: "Always 1; the running version.",
	}, []string{"version"})
)

// Check fails where its dependency does not answer.
type Check func(context.Context) error

// Service is the handler of a service that is watched.
type Service struct {
	version string
	routes  *http.ServeMux
	up      map[string]*atomic.Bool
}

// New begins to check the dependencies.
func New(version string, dependencies map[string]Check) *Service {
	s := &Service{version, http.NewServeMux(), map[string]*atomic.Bool{}}
	buildInfo.WithLabelValues(version).Set(1)
	for name, check := range dependencies {
		s.up[name] = &atomic.Bool{}
		dependencyUp.WithLabelValues(name)
		go watch(s.up[name], name, check)
	}
	s.Handle("GET", "/health", s.health)
	s.Handle("GET", "/metrics", promhttp.Handler().ServeHTTP)
	return s
}

// Up says whether a dependency answered when it was last asked.
func (s *Service) Up(name string) bool { return s.up[name].Load() }

// Handle adds a route, whose series begin at 0.
func (s *Service) Handle(method, route string, handler http.HandlerFunc) {
	s.routes.HandleFunc(method+" "+route, handler)
	seconds.WithLabelValues(method, route)
	for _, status := range []string{"200", "500", "503"} {
		requests.WithLabelValues(method, route, status)
	}
}

// ServeHTTP counts and times what the routes answer. What no route takes shares one place, whatever was asked.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httpsnoop.CaptureMetricsFn(w, func(w http.ResponseWriter) {
		defer func() {
			if cause := recover(); cause != nil {
				slog.Error("a handler panicked", "cause", cause, "stack", string(debug.Stack()))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		s.routes.ServeHTTP(w, r)
	})
	method, route, known := strings.Cut(r.Pattern, " ")
	if !known {
		method, route = "other", "none"
	}
	seconds.WithLabelValues(method, route).Observe(answer.Duration.Seconds())
	requests.WithLabelValues(method, route, strconv.Itoa(answer.Code)).Inc()
}

func (s *Service) health(w http.ResponseWriter, _ *http.Request) {
	status, states := "ok", map[string]string{}
	for name, up := range s.up {
		states[name] = "ok"
		if !up.Load() {
			status, states[name] = "degraded", "down"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": status, "timestamp": time.Now().UTC().Format(time.RFC3339), "version": s.version, "dependencies": states,
	})
}

// watch keeps one state of a dependency, which the metric and /health both tell.
func watch(up *atomic.Bool, name string, check Check) {
	for ; ; time.Sleep(3 * time.Second) {
		patience, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		reached := check(patience) == nil
		cancel()
		up.Store(reached)
		dependencyUp.WithLabelValues(name).Set(map[bool]float64{true: 1}[reached])
	}
}

// Answers is the check of another service: its /health answers 200, also while it is degraded itself.
func Answers(url string) Check {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", request.URL, answer.Status)
		}
		return nil
	}
}
