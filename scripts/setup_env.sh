# Sourced by scripts/report and scripts/test: makes .venv and installs into it what is not there yet.
#   setup_env PYTHON_EXTRAS   e.g. "" or "[dev]"
# Nothing is done when neither pyproject.toml nor the constraints changed since the last time.

setup_env() {
  local extras="$1" venv=.venv stamp mark python
  python="${PYTHON:-python3}"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "elicit needs Python 3.11 or newer, and '$python' is $("$python" --version 2>&1). Set PYTHON to a newer one." >&2
    exit 1
  fi
  stamp="$(cat pyproject.toml scripts/constraints.txt scripts/setup_env.sh | sha256sum | cut -d' ' -f1)$extras"
  mark="$venv/.installed"
  if [ -x "$venv/bin/python" ] && grep -qxF "$stamp" "$mark" 2>/dev/null; then
    return
  fi
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  echo "Installing into $venv (some minutes the first time) ..." >&2
  if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
    # The CPU build where an index offers it: the default build brings gigabytes of CUDA along.
    "$venv/bin/pip" install --quiet --disable-pip-version-check -c scripts/constraints.txt \
      --extra-index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" torch 2>/dev/null ||
      "$venv/bin/pip" install --quiet --disable-pip-version-check -c scripts/constraints.txt torch
  fi
  "$venv/bin/pip" install --quiet --disable-pip-version-check -c scripts/constraints.txt --editable ".$extras"
  echo "$stamp" >>"$mark"
}
