"""Retraining by the clock at AWS: every end of the machine that learns, on moto's interpreter, and what it tells."""

import json
from fnmatch import fnmatchcase

import pytest
import yaml

from testkit.aws import machine
from testkit.aws.machine import LEARNING, run

TEMPLATE = LEARNING.with_name("template.yaml")


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch, account):
    machine.fix_moto(monkeypatch, account)


class Jobs:
    """What the platform says of jobs, look after look: statuses by kind, and the verdict of a training."""

    def __init__(self, account, gained=1.0, export=("Completed",), train=("InProgress", "Completed"), message=""):
        self.account, self.message = account, message
        self.exports, self.trainings, self.gained, self.models = list(export), list(train), gained, []
        account._create_processing_job = lambda call: {"ProcessingJobArn": "arn:aws:sagemaker:us-west-2:1:p/x"}
        account._create_training_job = lambda call: {"TrainingJobArn": "arn:aws:sagemaker:us-west-2:1:t/x"}
        account._describe_processing_job = lambda call: self._seen("Processing", self.exports) | self._message()
        account._describe_training_job = lambda call: self._seen("Training", self.trainings) | self._verdict()
        account._create_model = lambda call: self.models.append(call.parameters) or {}

    def _seen(self, kind, looks):
        status = looks.pop(0)
        return {f"{kind}JobStatus": status} | ({"FailureReason": "no disk"} if status == "Failed" else {})

    def _message(self):
        return {"ExitMessage": self.message} if self.message else {}

    def artifacts(self):
        """Where the platform puts the model of the training that was asked for last."""
        asked = self.account.asked("CreateTrainingJob")[-1]
        return f"{asked['OutputDataConfig']['S3OutputPath']}/{asked['TrainingJobName']}/output/model.tar.gz"

    def _verdict(self):
        metrics = [{"MetricName": "verdict:gained", "Value": self.gained}]
        return {"FinalMetricDataList": metrics, "ModelArtifacts": {"S3ModelArtifacts": self.artifacts()}}


def test_what_the_verdict_is_for_becomes_a_model_and_is_told(account):
    jobs = Jobs(account)
    ended = run(account, {}, path=LEARNING)
    assert ended.status == "SUCCEEDED", ended.cause
    model, shadow = jobs.models
    assert model["ModelName"].startswith("autopilot-20")
    assert shadow["ModelName"] == f"{model['ModelName']}-s"
    assert {one["PrimaryContainer"]["ModelDataUrl"] for one in jobs.models} == {jobs.artifacts()}
    modes = [one["PrimaryContainer"]["Environment"].get("AUTOPILOT_HISTORY_MODE") for one in jobs.models]
    assert modes == [None, "read-only"]
    ((subject, message),) = ended.told
    assert subject == f"Learned {model['ModelName']}"
    assert message["artifacts"] == jobs.artifacts()


def test_every_model_can_be_read_by_the_role_that_it_names(account):
    jobs = Jobs(account)
    run(account, {}, path=LEARNING)
    assert {one["ExecutionRoleArn"] for one in jobs.models} == {machine.SUBSTITUTED["ServingRoleArn"]}
    assert all(
        allowed("ServingRoleArn", "s3:GetObject", one["PrimaryContainer"]["ModelDataUrl"]) for one in jobs.models
    )
    (export,) = account.asked("CreateProcessingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    assert not allowed("ServingRoleArn", "s3:GetObject", f"{output['S3Output']['S3Uri']}/demand.csv")
    assert allowed("LearningRoleArn", "s3:PutObject", jobs.artifacts())


def allowed(substituted, action, uri):
    """Whether the template lets the role behind a name in the definition do this to an object."""
    resources = yaml.safe_load(TEMPLATE.read_text())["Resources"]
    given = resources["LearningStateMachine"]["Properties"]["DefinitionSubstitutions"]
    role, _ = given[substituted]["Fn::GetAtt"]
    documents = [one["PolicyDocument"] for one in resources[role]["Properties"]["Policies"]] + [
        one["Properties"]["PolicyDocument"]
        for one in resources.values()
        if one["Type"] == "AWS::IAM::RolePolicy" and one["Properties"]["RoleName"] == {"Ref": role}
    ]
    granted = [one for document in documents for one in document["Statement"] if action in one["Action"]]
    return any(fnmatchcase(uri, _uri(one["Resource"], given["Bucket"])) for one in granted)


def _uri(resource, bucket):
    text, named = resource["Fn::Sub"]
    assert named == {"Bucket": bucket}, "another bucket than the machine's"
    return text.replace("arn:${AWS::Partition}:s3:::${Bucket}", f"s3://{machine.SUBSTITUTED['Bucket']}")


def test_what_expires_is_no_model(account):
    jobs = Jobs(account)
    run(account, {}, path=LEARNING)
    (export,) = account.asked("CreateProcessingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    bucket = yaml.safe_load(TEMPLATE.read_text())["Resources"]["LearningBucket"]["Properties"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    expiring = f"s3://{machine.SUBSTITUTED['Bucket']}/{rule['Prefix']}"
    assert output["S3Output"]["S3Uri"].startswith(expiring)
    assert not jobs.artifacts().startswith(expiring)


def test_before_there_is_enough_history_nothing_is_trained_and_that_is_no_failure(account):
    jobs = Jobs(account, message="no fleet has 2 days of history: wait, or name a longer --since\n")
    ended = run(account, {}, path=LEARNING)
    assert ended.status == "SUCCEEDED", ended.cause
    (export,) = account.asked("CreateProcessingJob")
    assert export["AppSpecification"]["ContainerArguments"][-2:] == ["--nothing-yet", "/opt/ml/output/message"]
    assert (account.asked("CreateTrainingJob"), jobs.models) == ([], [])
    ((subject, message),) = ended.told
    assert subject == "Nothing to learn from yet"
    assert message["reason"] == "no fleet has 2 days of history: wait, or name a longer --since"


def test_what_an_export_says_that_failed_does_not_count_as_nothing_yet(account):
    Jobs(account, export=("Failed",) * 3, message="no fleet has 2 days of history")
    assert [subject for subject, _ in run(account, {}, path=LEARNING).told] == ["FAILED to learn"]


def test_the_export_is_what_the_training_reads(account):
    Jobs(account)
    run(account, {}, path=LEARNING)
    (export,), (training,) = account.asked("CreateProcessingJob"), account.asked("CreateTrainingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    assert training["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == output["S3Output"]["S3Uri"]
    assert export["AppSpecification"]["ContainerArguments"][:2] == ["history", "export"]
    assert export["Environment"] == {"AUTOPILOT_HISTORY": "dynamodb://history"}


def test_where_nothing_better_was_found_no_model_is_made_and_that_is_told(account):
    jobs = Jobs(account, gained=0.0)
    ended = run(account, {}, path=LEARNING)
    assert ended.status == "SUCCEEDED", ended.cause
    assert jobs.models == []
    assert [subject for subject, _ in ended.told] == ["Learned nothing better"]


def test_without_a_verdict_nothing_counts_as_better(account):
    jobs = Jobs(account)
    jobs._verdict = lambda: {"ModelArtifacts": {"S3ModelArtifacts": jobs.artifacts()}}
    assert [subject for subject, _ in run(account, {}, path=LEARNING).told] == ["Learned nothing better"]


@pytest.mark.parametrize(
    ("case", "jobs", "begun"),
    [("the export", {"export": ("Failed", "Failed", "Completed")}, "CreateProcessingJob"),
     ("the training", {"train": ("Failed", "Stopped", "Completed")}, "CreateTrainingJob")],
)  # fmt: skip
def test_a_job_that_fails_is_begun_anew_under_another_name(account, case, jobs, begun):
    Jobs(account, **jobs)
    assert run(account, {}, path=LEARNING).status == "SUCCEEDED", case
    names = [next(value for key, value in one.items() if key.endswith("JobName")) for one in account.asked(begun)]
    assert [name[-2:] for name in names] == ["-1", "-2", "-3"]


@pytest.mark.parametrize(
    ("jobs", "problem"),
    [({"export": ("Failed",) * 3}, "the export is Failed for the third time: no disk"),
     ({"train": ("Failed",) * 3}, "the train is Failed for the third time: no disk")],
)  # fmt: skip
def test_a_job_that_fails_three_times_is_told(account, jobs, problem):
    made = Jobs(account, **jobs)
    ended = run(account, {}, path=LEARNING)
    assert (ended.status, ended.cause) == ("FAILED", problem)
    ((subject, message),) = ended.told
    assert (subject, message["problem"]) == ("FAILED to learn", problem)
    assert made.models == []


@pytest.mark.parametrize("operation", ["CreateProcessingJob", "CreateTrainingJob", "CreateModel"])
def test_what_aws_refuses_is_told_in_its_words(account, operation):
    Jobs(account)
    account.failing[operation] = [("AccessDeniedException", "not you")]
    ended = run(account, {}, path=LEARNING)
    assert ended.status == "FAILED"
    assert "not you" in ended.told[0][1]["problem"]


def test_every_state_is_reached_from_the_start():
    text = LEARNING.read_text()
    states = [name for name in json.loads(text)["States"] if name != "Name the run"]
    assert [name for name in states if f'"Next": "{name}"' not in text and f'"Default": "{name}"' not in text] == []
