#!/bin/sh
# Trains the model in the box from nothing: run.sh WORK_FOLDER [CHECKPOINT_FOLDER]. Every stage resumes where it stopped.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1
folder=${2:-$here/../../src/glintbox/embedded/qwen3_vl_scenes}
python=${PYTHON:-python}
export PYTHONPATH="$here/../../src:$here" OMP_NUM_THREADS=1
two="$python -m torch.distributed.run --standalone --nproc-per-node 2" # one process a core, gradients averaged
mkdir -p "$work"
"$python" "$here/cache.py" "$work/scenes"
$two "$here/vision.py" --scenes "$work/scenes" --out "$work/vision.pt" --minutes 90 --batch 24 2>> "$work/vision.log"
$two "$here/language.py" --out "$work/language.pt" 2>> "$work/language.log"
$two "$here/joint.py" --ideal --scenes "$work/scenes" --weights "$work/language.pt" \
    --out "$work/ideal.pt" --minutes 15 --rate 0.02 --hurry 0.3 --told 0.3 2>> "$work/ideal.log"
$two "$here/joint.py" --scenes "$work/scenes" --weights "$work/ideal.pt" --fresh-tower "$work/vision.pt" \
    --out "$work/joint.pt" --minutes 28 --rate 0.01 --told 0.3 2>> "$work/joint.log"
$two "$here/joint.py" --scenes "$work/scenes" --weights "$work/joint.pt" --tower-rate 0.4 --seed 77 \
    --out "$work/more.pt" --minutes 45 --rate 0.01 --told 0.3 2>> "$work/more.log"
"$python" "$here/export.py" "$work/more.pt" "$folder"
"$python" "$here/evaluate.py" "$folder" --scenes 1000 --expressions 100
