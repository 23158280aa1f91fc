"""Where cells keep what they have, what data they see, and whose a folder is."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from datamodules import Digits
from ganaug.study.plan import Cell, Study, plan

SCHEMA = Digits(image_size=8).schema


def folders(cells: list[Cell], imbalances: dict) -> list[str]:
    study = SimpleNamespace(out=Path("out"), imbalances=imbalances)
    return [Study.folder(study, cell).relative_to("out/cells").name for cell in cells]


def test_cells_with_short_names_are_called_by_them() -> None:
    cells, imbalances = plan(SimpleNamespace(schema=SCHEMA), [5], [{}, {"8": 0.05, "9": 0.1}], [0, 7], 1)
    assert folders(cells, imbalances)[::3] == ["n=5,seed=0", "n=5,seed=7,fold=0", "n=5,8%3A0.05,9%3A0.1,seed=7"]
    assert folders([Cell(None, "", 3)], {"": {}}) == ["all,seed=3"]


def test_no_two_cells_share_a_folder() -> None:
    """However long the names are, or like each other where case does not count."""
    classes = (*(f"class {k:02}" for k in range(40)), "Cat", "cat")
    data = SimpleNamespace(schema=replace(SCHEMA, classes=classes))
    long = dict.fromkeys(classes[:39], 0.1)
    rare = [{}, {"Cat": 0.1}, {"cat": 0.1}, dict.fromkeys(classes[:11], 0.1), long, long | {"class 39": 0.1}]
    cells, imbalances = plan(data, [5, 50], rare, [0, 1, 2], 2)
    names = folders(cells, imbalances)
    assert len({name.casefold() for name in names}) == len(cells) == 108
    assert max(len(name.encode()) for name in names) <= 255


def test_the_balanced_setting_is_balanced_though_the_data_are_not() -> None:
    data = Digits(image_size=8, imbalance={"9": 0.1})
    cells, imbalances = plan(data, None, [{}, {"8": 0.2}], [0], 0)
    study = SimpleNamespace(data=data, imbalances=imbalances, folds=3)
    assert [Study.module(study, cell).imbalance for cell in cells] == [{}, {"8": 0.2}]
    cells, study.imbalances = plan(data, None, None, [0], 0)
    assert [Study.module(study, cell).imbalance for cell in cells] == [{"9": 0.1}]
