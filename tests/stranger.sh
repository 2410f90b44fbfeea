#!/usr/bin/env bash
# What a stranger does with this repository: clones it (what is committed) into an empty folder, on a machine that has Node and npm,
# and runs the README's commands. No package is installed, home and npm's cache are empty, no other runtime is on the
# path, and nobody else's data lies beside it. The last line is "N passed, N failed" over all of it.
#
#   bash tests/stranger.sh          # about ten minutes on two idle cores
#   bash tests/stranger.sh DATA     # and then, once more, the tests that need the data in that folder
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
data=${1:+$(cd "$1" && pwd)}
place=$(mktemp -d "${TMPDIR:-/tmp}/stranger-XXXXXX")
trap 'rm -rf "$place"' EXIT
mkdir "$place/home" "$place/npm" "$place/bin"
git clone --quiet "$repository" "$place/ferrotype"
cd "$place/ferrotype"

# Folders of the path that hold another runtime are replaced by one with all they hold besides.
path=""
IFS=: read -ra folders <<< "$PATH"
for folder in "${folders[@]}"; do
  if [ -e "$folder/deno" ] || [ -e "$folder/bun" ]; then
    for program in "$folder"/*; do
      case ${program##*/} in deno | dx | bun | bunx | '*') ;; *) ln -sf "$program" "$place/bin/" ;; esac
    done
    folder=$place/bin
  fi
  path+="${path:+:}$folder"
done
stranger() {
  env -u FERROTYPE_DATA -u DENO_DIR -u DENO_INSTALL -u BUN_INSTALL -u NODE_PATH -u XDG_CACHE_HOME -u XDG_CONFIG_HOME \
    PATH="$path" HOME="$place/home" npm_config_cache="$place/npm" CI=true NO_COLOR=1 DENO_NO_UPDATE_CHECK=1 "$@" </dev/null
}

passed=0 failed=0 skipped=0
# Runs a command, shows what it prints, and adds the counts of its last line; a command without any is one test.
part() {
  local log=$place/log status=0 start=$SECONDS
  echo "\$ $*"
  stranger "$@" 2>&1 | tee "$log" || status=$?
  echo "($((SECONDS - start)) s)"
  if [[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    if [ "$status" != 0 ] && [ "${BASH_REMATCH[2]}" = 0 ]; then failed=$((failed + 1)); fi
  elif [ "$status" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  echo
}

part npx --yes deno@2 task generate "ROMEO:"
[ "$(wc -c < "$place/log")" -gt 200 ] || { echo "FAILED: it says hardly anything" && failed=$((failed + 1)); }
part npx --yes deno@2 task test
part npx --yes deno@2 task ok --checks
if [ -n "$data" ]; then
  mapfile -t files < <(grep -l 'missingData(' tests/*_test.ts | sed 's|tests/||')
  part env FERROTYPE_DATA="$data" npx --yes deno@2 task test "${files[@]}"
fi
if [ -n "$(git status --porcelain)" ]; then
  echo "FAILED: a clone is no longer what it was:"
  git status --short
  failed=$((failed + 1))
fi
echo "All together:"
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]
