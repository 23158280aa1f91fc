"""How many seeds a second stage has, and of which settings."""

import pytest

from ganaug.study import stages
from ganaug.study.plan import Cell
from ganaug.study.stages import headline, numbered, second_stage


def row(arm: str, seed: int, accuracy: float | None, ratio: float = 0.0, fold: int | None = None, **other) -> dict:
    known = {"arm": arm, "seed": seed, "accuracy": accuracy, "macro_f1": 0.5, "ratio": ratio, "fold": fold}
    return {**known, "steps": 1, "imbalance": "", **other}


def pair(seed: int, gain: float, arm: str = "gan", base: str = "real") -> list[dict]:
    return [
        row(base, seed, 0.5),
        row(base, seed, None, steps=2),
        row(arm, seed, 0.5 + gain, 1.0),
        row(arm, seed, 0.9, 3.0),
        row(arm, seed, 0.9, 1.0, fold=0),
        row(base, seed, 0.1, fold=0),
    ]


class Finished:
    """A study whose cells have rows."""

    def __init__(self, rows: dict[Cell, list[dict]], until: float | None = 1.0, max_seeds: int = 50) -> None:
        self.rows, self.until, self.max_seeds, self.ratio = rows, until, max_seeds, 1.0

    def facts(self, cell: Cell) -> dict:
        return {"rows": self.rows[cell]} if cell in self.rows else {}


def test_the_headline_is_of_whole_cells_at_the_ratio_fixed_in_advance() -> None:
    rows = [*pair(0, 0.1), *pair(4, -0.2)]
    assert headline(rows, 1.0) == pytest.approx([0.1, -0.2])
    harder = pair(0, 0.3, "classical_gan", "classical")
    assert headline([*pair(0, 0.1), *harder], 1.0) == pytest.approx([0.3])
    hardest = pair(0, 0.4, "classical_oversampled_gan", "classical_oversampled")
    assert headline([*harder, *hardest], 1.0) == pytest.approx([0.3])
    rare = [{**one, "imbalance": "8:0.1", "macro_f1": one["accuracy"]} for one in [*harder, *hardest]]
    assert headline(rare, 1.0) == pytest.approx([0.4])
    assert headline([row("real", 0, 0.5)], 1.0) is None


def test_rows_of_another_study_have_no_headline() -> None:
    assert headline(pair(0, 0.1), ratio=2.0) is None


def test_each_setting_gets_the_seeds_that_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [Cell(n, "", seed, fold) for n in (5, 20) for seed in (0, 7) for fold in (None, 0)]
    rows = {cell: pair(cell.seed, 0.01 * cell.seed) if cell.fold is None else [] for cell in cells}
    asked = []

    def wanted(differences: list[float], half_width: float) -> int:
        asked.append((differences, half_width))
        return 4 if len(asked) == 1 else 2

    study = Finished(rows, until=2.0)
    monkeypatch.setattr(stages, "seeds_wanted", wanted)
    assert [cell.name for cell in second_stage(study, cells)] == [
        "n=5,seed=8", "n=5,seed=8,fold=0", "n=5,seed=9", "n=5,seed=9,fold=0"
    ]  # fmt: skip
    assert asked == [(pytest.approx([0.0, 0.07]), 0.02)] * 2
    study.max_seeds = 3
    monkeypatch.setattr(stages, "seeds_wanted", lambda *_: 1000)
    assert [cell.seed for cell in second_stage(study, cells)] == [8, 8, 8, 8]


def test_there_is_no_second_stage_before_the_first_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "seeds_wanted", lambda *_: 9)
    cells = [Cell(5, "", seed, fold) for seed in (0, 1) for fold in (None, 0)]
    rows = {cell: pair(cell.seed, 0.1) if cell.fold is None else [] for cell in cells[:3]}
    assert second_stage(Finished(rows), cells) == []
    rows[cells[3]] = []
    assert len(second_stage(Finished(rows), cells)) == 14
    assert second_stage(Finished(rows, until=None), cells) == []


def test_a_number_keeps_its_meaning_in_whatever_order_cells_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "seeds_wanted", lambda *_: 4)
    cells = [Cell(n, "", seed) for n in (5, 20, 50) for seed in (0, 1)]
    study = Finished({})
    lists = [numbered(study, cells)]
    for cell in reversed(cells):
        study.rows[cell] = pair(cell.seed, 0.1)
        lists.append(numbered(study, cells))
    assert len(lists[-1]) == 12
    assert all(known == lists[-1][: len(known)] for known in lists)
    assert second_stage(Finished({cell: study.rows[cell] for cell in cells[2:]}), cells), (
        "of settings that are finished"
    )
