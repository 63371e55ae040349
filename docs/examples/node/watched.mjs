// What every service has: the metrics of capability http, /health, and an eye on its dependencies.
import express from "express";
import { Counter, Gauge, Histogram, collectDefaultMetrics, register } from "prom-client";

collectDefaultMetrics();
const requests = new Counter({
  name: "http_requests_total",
  help: "Requests answered.",
  labelNames: ["method", "route", "status"],
});
const seconds = new Histogram({
  name: "http_request_duration_seconds",
  help: "Time to the answer.",
  labelNames: ["method", "route"],
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10],
});
const dependencyUp = new Gauge({
  name: "service_dependency_up",
  help: "1 when the dependency answers, else 0.",
  labelNames: ["dependency"],
});
const buildInfo = new Gauge({
  name: "service_build_info",
  help: "Always 1; the running version.",
  labelNames: ["version"],
});

/** An Express application that is watched, and which of its dependencies are up. A check rejects where one is not. */
export function watched(version, dependencies) {
  buildInfo.set({ version }, 1);
  const up = {};
  for (const [name, check] of Object.entries(dependencies)) {
    up[name] = false;
    dependencyUp.set({ dependency: name }, 0);
    watch(up, name, check);
  }
  const app = express().use(measured);
  app.get(route("/health"), (_request, response) => {
    response.json({
      status: Object.values(up).every(Boolean) ? "ok" : "degraded",
      timestamp: new Date().toISOString(),
      version,
      dependencies: Object.fromEntries(Object.entries(up).map(([name, reached]) => [name, reached ? "ok" : "down"])),
    });
  });
  app.get(route("/metrics"), async (_request, response) => {
    response.type(register.contentType).send(await register.metrics());
  });
  return { app, up };
}

/** The route template itself, whose series begin at 0. */
export function route(path, method = "GET") {
  seconds.zero({ method, route: path });
  for (const status of [200, 500, 503]) requests.inc({ method, route: path, status }, 0);
  return path;
}

// What no route takes shares one place, whatever was asked; a client that left before the answer is a 499.
function measured(request, response, next) {
  const stop = seconds.startTimer();
  response.once("close", () => {
    const place = request.route
      ? { method: request.method, route: request.route.path }
      : { method: "other", route: "none" };
    stop(place);
    requests.inc({ ...place, status: response.writableFinished ? response.statusCode : 499 });
  });
  next();
}

// Keeps one state of a dependency, which the metric and /health both tell.
async function watch(up, name, check) {
  try {
    await Promise.race([check(), new Promise((_, reject) => setTimeout(reject, 2000))]);
    up[name] = true;
  } catch {
    up[name] = false;
  }
  dependencyUp.set({ dependency: name }, Number(up[name]));
  setTimeout(watch, 3000, up, name, check);
}

/** The check of another service: its /health answers 200, also while it is degraded itself. */
export function answers(url) {
  return async () => {
    const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) });
    await answer.text();
    if (answer.status !== 200) throw new Error(`${url}: ${answer.status}`);
  };
}
