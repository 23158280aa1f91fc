"""Finished studies by two rules for how many samples: chosen on folds, and on each seed's own validation rows.

    python experiments/study_rules.py STUDY [STUDY …]

The rows are the same; what differs is which of them a rule takes. "Always" is the ratio that was fixed in advance. All
in points of accuracy, or of macro-F1 where classes are rare, with Student's 95 % interval over seeds; p is corrected by
Holm for all settings given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tables import table

from ganaug.study.stages import first_stage
from ganaug.study.statistics import summarise
from ganaug.study.statistics.intervals import holm
from ganaug.study.statistics.summary import difference
from ganaug.study.statistics.trainings import WITHOUT
from ganaug.study.statistics.words import points


def spoken(found: dict[str, Any] | None) -> str:
    """``+1.9 (0.4 to 3.4)``, ``not used``, or nothing."""
    if not found or found["mean"] is None:
        return ""
    if found["outcome"] == "unused":
        return "not used"
    ends = " to ".join(points(end, sign=False) for end in found["interval"] or ())
    return f"{points(found['mean'])}" + (f" ({ends})" if ends else "")


def lines(study: Path) -> list[dict[str, Any]]:
    """A line for each setting of a study, and the p of its headline."""
    asked = json.loads((study / "study.json").read_text(encoding="utf-8"))
    paths = sorted(study.glob("cells/*/cell.json"))
    rows = [row for path in paths for row in json.loads(path.read_text(encoding="utf-8")).get("rows", [])]
    stage = first_stage(asked)
    by = {
        rule: summarise(rows, ratio=asked["ratio"], selection=rule, first=stage)["settings"]
        for rule in ("folds", "validation")
    }
    found = []
    for new, old in zip(by["folds"], by["validation"], strict=True):
        if not new["headline"]:  # no arm with samples was run
            continue
        plain, base = new["headline"]["arm"].partition(",")[0], new["headline"]["other"]
        score = new["arms"][base][new["metric"]]
        opponents = {arm: new["arms"][arm][new["metric"]]["mean"] for arm in WITHOUT if arm in new["arms"]}
        spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"  # of one seed there is none
        best = max(opponents, key=lambda arm: opponents[arm])
        found.append(
            {
                "study": study.name,
                "setting": new["name"],
                "seeds": len(new["seeds"]),
                "never": f"{100 * score['mean']:.1f}{spread} ({base})",
                "best without": f"{100 * opponents[best]:.1f} ({best})",
                "always": spoken(difference(new, f"{plain}, always", base)),
                "by folds": spoken(difference(new, f"{plain}, chosen", base)),
                "by validation": spoken(difference(old, f"{plain}, chosen", base)),
                "p": new["headline"]["p"],
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="+")
    studies: list[Path] = parser.parse_args().study
    for study in studies:
        if not (study / "study.json").is_file():
            parser.error(f"{study} is no study: give the folder that augment was given as --out")
    found = [line for study in studies for line in lines(study)]
    given = [line for line in found if line["p"] is not None]
    for line, adjusted in zip(given, holm([line["p"] for line in given]).tolist(), strict=True):
        line["p (Holm)"] = f"{adjusted:.2g}"
    for line in found:
        del line["p"]
    print(table(found))


if __name__ == "__main__":
    main()
