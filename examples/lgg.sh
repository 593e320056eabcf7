#!/usr/bin/env bash
# The whole path on real patients: search, confirm, report, retrain, predict, evaluate, export.
#
#   examples/lgg.sh DATA [WORK]
#
# DATA holds Image/<patient>_<slice>.png and Mask/<patient>_<slice>_mask.png, as the Kaggle LGG set
# (brain MRI, TCGA) converted to PNG. The last four patients by name are put aside before anything else:
# no step but the last two sees them. WORK (./lgg-example) gets all files. About 15 minutes on two
# cores with the numbers below, which are small: raise them for a result worth telling.
set -euo pipefail

: "${EPOCHS:=12}" "${TRIALS:=6}" "${SIZE:=96}" "${SEEDS:=3}" "${FOLDS:=3}"
data=$(realpath "${1:?folder with Image/ and Mask/}")
work=${2:-lgg-example}
study=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../searchspaces/lgg.yaml")
mkdir -p "$work"
cd "$work"

say() { printf '\n== %s\n' "$*"; }

say "four patients put aside"
mapfile -t patients < <(find "$data/Image" -name '*.png' -printf '%f\n' | sed -E 's/_[0-9]+\.png$//' | sort -u)
for number in "${!patients[@]}"; do
  part=search
  ((number >= ${#patients[@]} - 4)) && part=outside
  mkdir -p "$part/Image" "$part/Mask"
  ln -sf "$data/Image/${patients[number]}"_*.png "$part/Image/"
  ln -sf "$data/Mask/${patients[number]}"_*_mask.png "$part/Mask/"
done
echo "${#patients[@]} patients: $((${#patients[@]} - 4)) in search/, 4 in outside/"

small=(--set "epochs=$EPOCHS" --set "run_cap=$TRIALS" --set "image_size=$SIZE"
  --set "early_terminate.min_iter=$((EPOCHS / 3))")

say "the data"
segtune data search --space "$study"

say "what it will cost"
segtune check --space "$study" --data search "${small[@]}" --price

say "search"
segtune run --space "$study" --data search "${small[@]}"

say "confirm: the winner against the default, over seeds and folds"
segtune confirm runs/lgg --top 2 --seeds "$SEEDS" --folds "$FOLDS"

say "the locked test part, once"
segtune confirm runs/lgg --open-test

say "report"
segtune report runs/lgg

say "the final model: the recipe that the confirmation says to take, on training and validation patients"
segtune retrain runs/lgg --seeds "$SEEDS"

say "masks of the four patients put aside"
segtune predict runs/lgg-retrain/model.pt outside/Image masks --flips

say "and their scores"
segtune evaluate runs/lgg-retrain/model.pt outside --flips --out cases.csv \
  --set 'data.patient=(TCGA_.._...._\d+)_'

say "for other programs"
segtune export runs/lgg-retrain/model.pt exported --images outside
