"""A month of three fleets, one of which changes its habits half-way, through the stack's machine and on DynamoDB.

The machine runs on moto's interpreter; its jobs are the container's commands, run for real, over a bucket in a
directory and a table in moto. Who answers is the container's own endpoint, with the model and the environment that
it is given.
"""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy, copytree

from click.testing import CliRunner

from autopilot.cli import main
from autopilot.core.history import rfc3339
from autopilot.history.dynamodb import DynamoHistory
from autopilot.policy.model_archive import pack
from autopilot.policy.model_place import ARCHIVE_FILE
from autopilot.ports import Decided, Observed
from autopilot.serve.app import create_app
from autopilot.settings import Settings
from testkit.aws import machine
from testkit.aws.learned import ServedEndpoint
from testkit.aws.machine import LEARNING, Ended, run
from testkit.aws.mocked import HistoryTable
from tests.learning.conftest import untrained  # noqa: F401 - a fixture
from tests.learning.test_month import FIRST, FLEETS, demand

QUICK = {"fleets": "60", "forecast_epochs": "2", "epochs": "2", "recorded_weight": "0.8"}
DAY = 86400.0


class Platform:
    """SageMaker and S3: jobs are run where they are begun, objects are files. Its clock goes from day to day."""

    def __init__(self, account, table, root, set_clock):
        self.account, self.table, self.root, self._set_clock = account, table, root, set_clock
        self.day, self.trained, self.ended = 0, [], {}
        account._create_processing_job = self._process
        account._create_training_job = self._train
        account._describe_processing_job = lambda call: self.ended[call.parameters["ProcessingJobName"]]
        account._describe_training_job = lambda call: self.ended[call.parameters["TrainingJobName"]]
        account._list_training_jobs = self._trainings
        create = account._create_model
        account._create_model = lambda call: create(self._by_its_clock(call))

    @property
    def now(self) -> float:
        """Four in the morning."""
        return FIRST + self.day * DAY + 4 * 3600

    def object(self, uri: str) -> Path:
        """The file of an object."""
        return self.root / "s3" / uri.removeprefix("s3://")

    def goes_on_until(self, day: int, doubted: int = 0) -> None:
        """Let the fleets be served until that day; the last slots of the first as an outage hold's."""
        for at in range(self.day, day):
            for fleet in FLEETS:
                self.table.put_day(fleet, FIRST + at * DAY, demand(fleet, at).tolist())
        self.day = day
        history = DynamoHistory(self.table.name, client=self.table, budget_seconds=600)
        for at in [self.now - 300.0 * back for back in range(doubted, 0, -1)]:
            history.remember([Decided(FLEETS[0], at, 100, 100.0)])
            history.record([Observed(FLEETS[0], at, 5)])
        history.close()
        self._set_clock(self.now)

    def learns(self, ask: str = "", **given: str) -> Ended:
        """The machine, from its start to its end."""
        asked = {"ask": ask} if ask else {}
        return run(self.account, asked, path=LEARNING, HistoryTable=self.table.name, **given)

    def runs(self, arguments: list[str], environment: dict[str, str]) -> object:
        """A command of the container."""
        return CliRunner().invoke(main, arguments, env=environment)

    def _process(self, call):
        asked = call.parameters
        assert asked["ProcessingJobName"] not in self.ended, "a name is given once"
        job = self.root / asked["ProcessingJobName"]

        def here(path: str) -> str:
            return path.replace("/opt/ml", str(job))

        for one in asked.get("ProcessingInputs", []):
            place = Path(here(one["S3Input"]["LocalPath"]))
            place.mkdir(parents=True)
            copy(self.object(one["S3Input"]["S3Uri"]), place)
        done = self.runs(list(map(here, asked["AppSpecification"]["ContainerArguments"])), asked["Environment"])
        for one in asked.get("ProcessingOutputConfig", {}).get("Outputs", []):
            if (made := Path(here(one["S3Output"]["LocalPath"]))).exists():
                copytree(made, self.object(one["S3Output"]["S3Uri"]))
        message = job / "output/message"
        said = {"ExitMessage": message.read_text()} if message.exists() else {}
        status = {"ProcessingJobStatus": "Failed" if done.exit_code else "Completed", "FailureReason": done.output}
        self.ended[asked["ProcessingJobName"]] = status | said
        return {"ProcessingJobArn": "arn:aws:sagemaker:us-west-2:1:processing-job/x"}

    def _train(self, call):
        asked = call.parameters
        job = self.root / asked["TrainingJobName"]
        for one in asked["InputDataConfig"]:
            source, place = (
                self.object(one["DataSource"]["S3DataSource"]["S3Uri"]),
                job / "input/data" / one["ChannelName"],
            )
            place.mkdir(parents=True)
            copytree(source, place, dirs_exist_ok=True) if source.is_dir() else copy(source, place)
        (job / "input/config").mkdir(parents=True)
        hparams = json.dumps(asked["HyperParameters"] | QUICK)
        (job / "input/config/hyperparameters.json").write_text(hparams)
        done = subprocess.run(
            [sys.executable, "-m", "autopilot.training", "--root", str(job)],
            capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        artifacts = f"{asked['OutputDataConfig']['S3OutputPath']}/{asked['TrainingJobName']}/output/{ARCHIVE_FILE}"
        self.candidate = job / "model"
        self.put(artifacts, self.candidate)
        (metric,) = asked["AlgorithmSpecification"]["MetricDefinitions"]
        values = re.findall(metric["Regex"], done.stdout)
        self.ended[asked["TrainingJobName"]] = {
            "TrainingJobStatus": "Failed" if done.returncode else "Completed",
            "FailureReason": done.stderr[-300:],
            "FinalMetricDataList": [{"MetricName": metric["Name"], "Value": float(one)} for one in values[-1:]],
            "ModelArtifacts": {"S3ModelArtifacts": artifacts},
        }
        self.trained.append(self.now)
        return {"TrainingJobArn": "arn:aws:sagemaker:us-west-2:1:training-job/x"}

    def put(self, uri: str, model: Path) -> None:
        """A model as the archive that an object is."""
        self.object(uri).parent.mkdir(parents=True)
        self.object(uri).write_bytes(pack(model))

    def _trainings(self, call):
        """Those of the last days, as many as the machine looks back."""
        after = datetime.fromisoformat(call.parameters["CreationTimeAfter"])
        since = self.now - (datetime.now(UTC) - after).total_seconds()
        return {"TrainingJobSummaries": [{"TrainingJobName": "x"} for at in self.trained if at > since]}

    def _by_its_clock(self, call):
        environment = call.parameters["PrimaryContainer"]["Environment"]
        if "LEARNING_SINCE" in environment:
            environment["LEARNING_SINCE"] = rfc3339(self.now)
        return call


class Endpoint(ServedEndpoint):
    """Answers as the container does with the model that serves, in its environment."""

    def __init__(self, account, platform):
        self._platform = platform
        super().__init__(account)

    def asks(self, path: str, body: str | None = None) -> dict[str, object]:
        """What it answers at a path."""
        container = self.model()["PrimaryContainer"]
        (source,) = container.get("AdditionalModelDataSources", [None])
        places = {"AUTOPILOT_MODEL_DIR": container.get("ModelDataUrl"),
                  "AUTOPILOT_CANDIDATE": source and source["S3DataSource"]["S3Uri"]}  # fmt: skip
        beside = {name: str(self._platform.object(uri)) for name, uri in places.items() if uri}
        given = container["Environment"] | {"AUTOPILOT_HISTORY": f"dynamodb://{self._platform.table.name}"} | beside
        client = create_app(Settings.from_env(given)).test_client()
        answer = client.get(path) if body is None else client.post(path, data=body, content_type="application/json")
        return json.loads(answer.data)

    def _answer(self, call):
        return {"Body": json.dumps(self.asks("/invocations", call.parameters["Body"].decode()))}

    def who(self) -> str:
        """Name and checksum of what serves."""
        question = json.dumps({"fleet": "x", "demand": 1, "history": []})
        return self.asks("/invocations", question)["Prediction"]["policy"]


def test_a_month_at_aws_from_the_first_export_to_a_promotion_and_back(account, tmp_path, monkeypatch, untrained):  # noqa: F811
    machine.fix_moto(monkeypatch, account)
    monkeypatch.setattr(machine, "PATIENCE", 1800)  # it trains
    set_clock = lambda now: monkeypatch.setattr("autopilot.learning.commands.asked.time.time", lambda: now)  # noqa: E731
    platform = Platform(account, HistoryTable(), tmp_path, set_clock)
    served = "s3://learned/models/untrained/model.tar.gz"
    platform.put(served, untrained)
    endpoint = Endpoint(account, platform)
    endpoint.serve("autopilot-untrained", served)
    first = endpoint.who()
    assert first.startswith("untrained@")

    platform.goes_on_until(1)
    ((subject, message),) = platform.learns().told
    assert (subject, "no fleet has 2 days of history" in message["reason"]) == ("Nothing to learn from yet", True)

    platform.goes_on_until(14)
    ((subject, message),) = platform.learns().told
    assert subject.startswith("Learned autopilot-"), message
    assert message["answers"] == message["before"] == first == endpoint.who()
    board = endpoint.asks("/scoreboard")
    candidate = board["candidate"]
    assert candidate.startswith("learned@"), board["candidate_problem"]

    platform.goes_on_until(17)
    ended = platform.learns(AutoPromote="true")
    assert (ended.status, ended.told) == ("SUCCEEDED", [])
    assert "3 whole days are stored that it did not learn from, 7 are asked for" in ended.output["trial"]

    platform.goes_on_until(21, doubted=5)
    for ask in ("", "promote"):
        ((subject, message),) = platform.learns(ask, AutoPromote="true").told
        assert subject == "A promotion is put off"
        assert f"an outage is held for {FLEETS[0]}" in message["trial"]
        assert endpoint.who() == first

    platform.goes_on_until(22)
    shooter = ["scoreboard", "--fleet", "us/shooter", "--since", "1d", "--candidate", str(platform.candidate)]
    board = platform.runs(shooter, {"AUTOPILOT_HISTORY": f"dynamodb://{platform.table.name}"})
    assert board.exit_code == 0, board.output
    assert {"policy alone", "candidate"} <= set(re.findall(r"^. (policy alone|candidate)", board.output, re.MULTILINE))

    ((subject, message),) = platform.learns(AutoPromote="true").told
    assert subject.startswith("Promoted autopilot-"), message
    assert (message["before"], message["answers"], endpoint.who()) == (first, candidate, candidate)

    ((subject, message),) = platform.learns("rollback").told
    assert subject.startswith("Took back autopilot-"), message
    assert (message["answers"], endpoint.who()) == (first, first)
