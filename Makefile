# Python 3.11 or newer is all that a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
OUT := demo

.PHONY: demo test lint docs wheel install
install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: install  ## train on scikit-learn's digits, write labelled pictures, score them, and ask whether they help
	$(BIN)/ganaug fit --config experiments/dcgan_digits.yaml --name demo --ckpt_path last
	$(BIN)/ganaug generate --ckpt "$$(ls -t lightning_logs/demo/version_*/checkpoints/last.ckpt | head -n 1)" \
		--out $(OUT)/digits --per_class 100 --overwrite
	$(BIN)/ganaug evaluate --data Digits --samples $(OUT)/digits --out $(OUT)/scores.json
	$(BIN)/ganaug augment --data Digits --data.image_size 8 --data.balance true --model R3GAN --gan_steps 600 \
		--per_class "[100]" --imbalance "[{8: 0.05, 9: 0.05}]" --seeds "[0,1,2]" --workers 2 --ratios "[0.3]" \
		--arms "[real,classical_oversampled,classical_oversampled_gan]" \
		--classifier ImageClassifier --classifier.width 16 --classifier_steps 150 --out $(OUT)/study
	@echo
	@$(BIN)/python -c "import json; print(json.load(open('$(OUT)/study/summary.json'))['verdict'])"
	@echo "study        $(OUT)/study/report.html"
	@echo "pictures     $(OUT)/digits, at a glance $(OUT)/digits/grid.png"
	@echo "scores       $(OUT)/scores.json"
	@echo "TensorBoard  $(BIN)/tensorboard --logdir lightning_logs/demo"

test: install  ## two processes: each file in one of them, a thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/documented  ## the site, into site/; a dead link or an undocumented public name is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --write-all -b html -c docs . site
	@echo "documentation  site/index.html"

wheel: install  ## the wheel, into dist/, checked; tests/test_wheel.py runs one elsewhere
	rm -rf build dist
	$(BIN)/python -m build --wheel
	$(BIN)/python -m twine check --strict dist/*

.venv/documented: .venv/installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@
