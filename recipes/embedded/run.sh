#!/bin/sh
# Trains the model in the box from nothing: run.sh WORK_FOLDER [CHECKPOINT_FOLDER]. Every stage resumes where it stopped.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1
folder=${2:-$here/../../src/glintbox/embedded/qwen3_vl_scenes}
python=${PYTHON:-python}
export PYTHONPATH="$here/../../src:$here" OMP_NUM_THREADS=1
mkdir -p "$work"
"$python" "$here/cache.py" "$work/scenes"
# Stages 1 and 2 do not need each other: one core each. Stage 3 follows the tower while that is still learning.
"$python" "$here/vision.py" --scenes "$work/scenes" --out "$work/vision.pt" --minutes 55 2>> "$work/vision.log" &
"$python" "$here/language.py" --out "$work/language.pt" 2>> "$work/language.log"
"$python" "$here/joint.py" --scenes "$work/scenes" --start "$work/language.pt" --tower "$work/vision.pt" \
    --out "$work/reading.pt" --minutes 30 --rate 0.02 --hurry 0.5 2>> "$work/reading.log"
wait
"$python" "$here/joint.py" --scenes "$work/scenes" --start "$work/reading.pt" --fresh-tower "$work/vision.pt" \
    --out "$work/joint.pt" --minutes 40 --rate 0.01 2>> "$work/joint.log"
"$python" "$here/export.py" "$work/joint.pt" "$folder"
"$python" "$here/evaluate.py" "$folder" --scenes 500
