#!/bin/sh
# Brings a pod's ConfigMaps to its tool, past the tool's own checker: sh reload.sh once|watch
#
# once   before the tool starts; ends with 1 where the configuration is refused and no earlier one is there
# watch  beside the tool, for ever: takes each change within seconds; /metrics says what came of it
#
# A revision is a copy of all files, named by their hash; `current` leads to the one that the tool reads. What
# the checker refuses never becomes `current`, what the tool refuses does not stay it: a restart comes up.
set -u

# Where the ConfigMaps are mounted, under the paths that the tool knows, and the folder that the tool reads.
COMPONENT=${COMPONENT:-prometheus} SOURCE=${SOURCE:-/config-source} TARGET=${TARGET:-/etc/$COMPONENT}
# Run in the root of a revision, where the tool's paths hold without their leading /.
CHECK=${CHECK:-promtool check config etc/prometheus/prometheus.yml}
# Where the tool listens on loopback, and its gauge that is 1 after a good reload; credentials: see ask.sh.
PORT=${PORT:-9090} METRIC=${METRIC:-prometheus_config_last_reload_successful}
METRICS_DIR=${METRICS_DIR:-/run/metrics} METRICS_PORT=${METRICS_PORT:-9533}
revisions=$TARGET/.revisions partial=$TARGET/.partial confirmed=$TARGET/.confirmed
wanted='' given_up='' reported='' words='' sleeping='' server='' pending='' taken=0 refused=0 failed=0

say() { printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$COMPONENT" "$*"; }
ask() { sh "${0%/*}/ask.sh" "$1" "$PORT" "$2"; }
value() { ask GET /metrics 2>/dev/null | sed -n "s/^$1 //p"; }
# The kubelet's own ..data and ..2026_… stay out; the names that lead into them are followed.
files() { find -L . -name '..*' -prune -o -type f -print | LC_ALL=C sort; }
fingerprint() { (cd "$1" && files | xargs -r sha256sum) 2>/dev/null | sha256sum | cut -c1-16; }
# One line, without what the checkers say of the files that are good.
brief() { sed -e '/FAILED/!{/^Checking/d;}' -e '/SUCCESS/d' | tr -s ' \t\n' ' ' | cut -c1-800; }
# A signal interrupts `wait`; the end of any other command would be waited for.
pause() { sleep "$1" & sleeping=$!; wait "$sleeping"; }

# taken|refused|failed REVISION: with $words; said and counted once, however often the same is tried again.
event() {
  [ "$reported" != "$1 $2" ] || return 0
  reported="$1 $2"
  : $(($1 += 1))
  say "revision $2 $1: $(printf '%s\n' "$words" | brief)"
}

# Makes the wanted revision. 1 where the checker refuses it, 2 where it cannot be copied; $words says why.
stage() {
  [ ! -d "$revisions/$wanted" ] || return 0
  rm -rf "$partial"
  mkdir -p "$revisions" "$partial"
  words=$( (cd "$SOURCE" && files | xargs -r cp -L --parents -t "$partial") 2>&1)
  if [ "$(fingerprint "$partial")" != "$wanted" ]; then
    words="$TARGET did not get what $SOURCE holds (${words:-it changed meanwhile}); it is tried again"
    return 2
  fi
  words=$(cd "$partial" && sh -c "$CHECK" 2>&1) || return 1
  mv "$partial" "$revisions/$wanted" || return 2
}

# REVISION. By a rename, so that a reader of `current` finds the old or the new one and never none.
switch() {
  ln -sfn ".revisions/$1/etc/$COMPONENT" "$TARGET/.next" && mv -T "$TARGET/.next" "$TARGET/current" || exit 1
  current=$1 pending=yes
  for entry in "$TARGET"/current/*; do
    [ -L "$TARGET/${entry##*/}" ] || ln -s "current/${entry##*/}" "$TARGET/${entry##*/}"
  done
  for entry in "$TARGET"/*; do [ -e "$entry" ] || rm -f "$entry"; done
  for old in "$revisions"/*; do
    case ${old##*/} in "$current" | "$running") ;; *) rm -rf "$old" ;; esac
  done
}

confirm() { running=$current; printf '%s\n' "$running" >"$partial.id" && mv "$partial.id" "$confirmed"; }

# 1 where the tool gives no clear answer, 2 where it refuses what its checker accepted; $words says why.
reload() {
  # While Prometheus replays its log a reload waits: asked for at each tick, they would heap up.
  words=$(ask GET /-/ready 2>&1) || return 1
  before=$(value "${METRIC%ful}_timestamp_seconds")
  if ! words=$(ANSWER_SECONDS=60 ask POST /-/reload 2>&1); then
    case $words in *'HTTP/1.'?' 500 '*) return 2 ;; *) return 1 ;; esac
  fi
  words="the reload was answered with 200, but $METRIC and its timestamp do not show it; it is tried again"
  [ "$(value "$METRIC")" = 1 ] && [ "$(value "${METRIC%ful}_timestamp_seconds")" != "$before" ] || return 1
  words='reloaded and verified'
}

tick() {
  found=$(fingerprint "$SOURCE")
  if [ "$found" != "$wanted" ]; then
    # The kubelet updates a pod's volumes one after the other: half a change is not taken.
    pause 1
    [ "$(fingerprint "$SOURCE")" = "$found" ] || return 0
    wanted=$found given_up='' reported=''
    [ "$wanted" != "$running" ] || say "the files are those of revision $running, on which it runs"
  fi
  if [ "$wanted" != "$current" ] && [ "$wanted" != "$given_up" ]; then
    stage
    case $? in
      0) switch "$wanted" ;;
      1) given_up=$wanted; event refused "$wanted" ;;
      *) event failed "$wanted" ;;
    esac
  fi
  [ -n "$pending" ] || return 0
  reload
  case $? in
    0)
      pending=''
      if [ "$current" = "$running" ]; then say "runs on revision $running again"; return; fi
      confirm
      event taken "$current" ;;
    2)
      event refused "$current"
      [ "$current" != "$wanted" ] || given_up=$wanted
      # The tool may have put half of it to use: it is given the old one again, at the next tick.
      [ -z "$running" ] || [ "$current" = "$running" ] || switch "$running" ;;
    *) event failed "$current" ;;
  esac
}

# NAME TYPE HELP, then LABELS VALUE of each sample.
family() {
  name=$1
  printf '# HELP %s %s\n# TYPE %s %s\n' "$1" "$3" "$1" "$2"
  shift 3
  while [ $# -gt 0 ]; do printf '%s{component="%s"%s} %s\n' "$name" "$COMPONENT" "$1" "$2"; shift 2; done
}

page() {
  same=0 since=$(stat -c %Y "$confirmed" 2>/dev/null || echo 0)
  [ "$wanted" != "$running" ] || [ -n "$pending" ] || same=1
  {
    family config_reloader_last_apply_successful gauge 'Whether the tool runs on these files.' '' "$same"
    family config_reloader_last_apply_timestamp_seconds gauge 'When a change was last taken.' '' "$since"
    family config_reloader_revision_info gauge 'What the tool runs on.' ",revision=\"$running\"" 1
    family config_reloader_wanted_info gauge 'The files as they are.' ",revision=\"$wanted\"" 1
    family config_reloader_applies_total counter 'Changes, by what came of them.' ',result="taken"' "$taken" \
      ',result="refused"' "$refused" ',result="failed"' "$failed"
  } >"$METRICS_DIR/.metrics" && mv "$METRICS_DIR/.metrics" "$METRICS_DIR/metrics"
}

running=$(cat "$confirmed" 2>/dev/null)
current=$(readlink "$TARGET/current")
current=${current#.revisions/} current=${current%%/*}
[ "$current" = "$running" ] || pending=yes

case ${1:-} in
  once)
    wanted=$(fingerprint "$SOURCE")
    if stage && switch "$wanted" && confirm; then say "starts on revision $current"; exit 0; fi
    event refused "$wanted"
    [ -n "$current" ] && say "starts on the earlier revision $current" ;;
  watch)
    # First of all: without it, process 1 of a container ignores the signal.
    trap 'kill $server $sleeping 2>/dev/null; exit 0' TERM INT
    httpd -f -p "$METRICS_PORT" -h "$METRICS_DIR" & server=$!
    while kill -0 "$server" 2>/dev/null; do tick; page; pause "${INTERVAL:-5}"; done
    say "the page on port $METRICS_PORT ended; give METRICS_PORT a free port and METRICS_DIR a folder"
    exit 1 ;;
  *) echo 'usage: sh reload.sh once|watch' >&2; exit 2 ;;
esac
