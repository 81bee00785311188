#!/usr/bin/env bash
# test.sh [PACKAGE...]: go test, one package after the other (live scenes measure: they need the machine for themselves),
# with what was skipped and why at the end. With CI=true only the tests in .ci/skips may be skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build
log=build/test.log
status=0
go test -p 1 -count 1 -timeout 20m -v "${@:-./...}" >"$log" 2>&1 || status=$?
grep -E '^(ok|FAIL|panic:|\?)' "$log" | grep -v 'no test files' || true
if [[ $status != 0 ]]; then
  # What a failed test printed stands between its start and its verdict.
  awk '/^=== (RUN|CONT|NAME)/ { if (!sub_(name, $3)) { name = $3; text = "" } } { text = text $0 "\n" }
    /^--- FAIL/ { printf "%s", substr(text, length(text) > 20000 ? length(text) - 20000 : 1) } /^--- / { text = "" }
    function sub_(top, full) { return top != "" && index(full, top "/") == 1 }' "$log"
  grep -E '^(FAIL|panic:)|\.go:[0-9]+:[0-9]+: ' "$log" | sort -u | head -50
fi
skipped=$(grep -E '^ *--- SKIP' "$log" | sed -E 's/^ *--- SKIP: ([^ ]+).*/\1/' | LC_ALL=C sort -u || true)
if [[ -n $skipped ]]; then
  echo "skipped:"
  # The last line that a test logged before its verdict is the reason.
  awk '/^=== / { name = $3 } /^ +[a-z0-9_]+\.go:[0-9]+: / { sub(/^ +/, ""); last[name] = $0 }
    /^ *--- SKIP/ { print "  " $3 ": " last[$3] } /^(ok|FAIL)\t/ { delete last }' "$log"
fi
unexpected=$(LC_ALL=C comm -13 .ci/skips <(printf '%s' "${skipped:+$skipped$'\n'}"))
if [[ ${CI:-} == true && -n $unexpected ]]; then
  printf 'skipped, and not in .ci/skips:\n%s\n' "$unexpected"
  status=1
fi
passed=$(grep -cE '^--- PASS' "$log" || true) failed=$(grep -cE '^--- FAIL' "$log" || true)
echo "$passed passed, $failed failed, $(grep -cE '^ *--- SKIP' "$log" || true) skipped"
exit "$status"
