#!/usr/bin/env bash
# One virtual environment for each library that the benchmarks compare with.
#
#   benchmarks/setup.sh [--dir DIR] [keras] [nnunet] [monai] [torchio]
#
# Without names: all of them, about 6 GB with torch's CPU build, more with its CUDA build.
# They lie under benchmarks/.venvs, or DIR, or $SEGTUNE_BENCH_VENVS, which the benchmarks read,
# too. Running it again changes nothing; other pins here install anew. PYTHON names the
# interpreter (3.11 to 3.13).
set -euo pipefail

declare -A PINS=(
    [keras]="tensorflow-cpu==2.21.0 keras==3.15.1 scipy==1.17.1"
    [nnunet]="torch==2.13.0 nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 batchgeneratorsv2==0.3.6"
    [monai]="torch==2.13.0 monai==1.6.1"
    [torchio]="torch==2.13.0 torchio==1.2.1"
)

dir="${SEGTUNE_BENCH_VENVS:-$(dirname "$(realpath "$0")")/.venvs}"
if [[ "${1:-}" == --dir ]]; then
    dir="${2:?--dir wants a folder}"
    shift 2
fi
peers=("$@")
[[ $# -gt 0 ]] || peers=(keras nnunet monai torchio)
for peer in "${peers[@]}"; do
    if [[ -z "${PINS[$peer]:-}" ]]; then
        echo "error: peer: found '$peer' ; wanted one of ${!PINS[*]}" >&2
        exit 2
    fi
done

for peer in "${peers[@]}"; do
    venv="$dir/$peer"
    if [[ "$(cat "$venv/pins" 2>/dev/null)" == "${PINS[$peer]}" ]]; then
        echo "$peer: there already, in $venv"
        continue
    fi
    echo "$peer: installing ${PINS[$peer]} into $venv"
    "${PYTHON:-python3}" -m venv "$venv"
    # shellcheck disable=SC2086  # the pins are words
    "$venv/bin/python" -m pip install --quiet ${PINS[$peer]}
    echo "${PINS[$peer]}" >"$venv/pins" # last: what is half installed is installed again
done
