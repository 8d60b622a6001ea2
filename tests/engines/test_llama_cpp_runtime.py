"""llama.cpp in this process, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from written_ggufs import write_llama_gguf

from forgetmeter.errors import UserError
from forgetmeter.results.results import open_run
from forgetmeter.study.running import run

QUESTIONS = "".join(
    f'{{"prompt": "{prompt}", "choices": ["red", "green and", "blue"], "answer": {place % 3}}}\n'
    for place, prompt in enumerate(["the sky is", "the sky is not", "grass is", "a rose is a", "what is"])
)


def study(tmp_path: Path, gguf: Path, **more: object) -> dict[str, object]:
    (tmp_path / "questions.jsonl").write_text(QUESTIONS)
    return {
        "models": [str(gguf)],
        "candidates": [{"engine": "llama_cpp", "file": str(gguf), "n_ctx": 64, **more}],
        "tasks": [f"file:{tmp_path / 'questions.jsonl'}"],
        "output": str(tmp_path / "run"),
    }


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_float32_gguf_gives_the_answers_of_its_unpacked_weights(tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    run(study(tmp_path, file))
    results = open_run(tmp_path / "run")
    assert not len(results.failures)
    own, other = (rows.set_index("item_id").sort_index() for _, rows in results.outcomes.groupby("recipe"))
    assert len(own) == 5
    for one, two in zip(own["loglikelihoods"], other["loglikelihoods"], strict=True):
        # llama.cpp keeps keys and values in float16.
        assert tuple(one) == pytest.approx(tuple(two), rel=2e-3)
    (row,) = results.variants.query("recipe != 'baseline'").to_dict("records")
    assert row["smallest_bytes"] == file.stat().st_size


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_texts_are_those_of_the_unpacked_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_llama_gguf(file := tmp_path / "model.gguf")
    study_of_file = study(tmp_path, file)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "written.yaml").write_text(
        f"task: written\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tmp_path / 'questions.jsonl'}}}}}\n"
        "test_split: test\ndoc_to_text: '{{prompt}}'\ndoc_to_target: '{{choices[answer]}}'\n"
        "generation_kwargs: {until: ['e'], max_gen_toks: 12}\nmetric_list: [{metric: exact_match}]\n"
    )
    run({**study_of_file, "tasks": ["written"], "task_folders": [str(tmp_path / "tasks")]})
    results = open_run(tmp_path / "run")
    assert not len(results.failures)
    own, other = (list(rows["generated"]) for _, rows in results.outcomes.groupby("recipe"))
    assert own == other
    assert len(set(own)) > 1


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
@pytest.mark.parametrize(
    ("more", "says"), [({"file": "gone.gguf"}, "must name a GGUF file"), ({"ctx": 5}, "unknown argument 'ctx'")]
)
def test_wrong_arguments_are_refused(more: dict[str, object], says: str, tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    with pytest.raises(UserError, match=says):
        run(study(tmp_path, file, **more))


@pytest.mark.skipif(find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed")
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_llama_gguf(file := tmp_path / "model.gguf")
    with pytest.raises(UserError, match=r"pip install 'forgetmeter\[llama-cpp\]'"):
        run(study(tmp_path, file))
