"""Retraining by the clock at AWS: every end of the machine that learns, on moto's interpreter, and what it tells."""

import json
from fnmatch import fnmatchcase

import boto3
import pytest
import yaml

from autopilot_deploy.core.shapes import operation
from testkit.aws import machine
from testkit.aws.account import REGION
from testkit.aws.learned import ENVIRONMENT, MOUNTED, SERVING_ROLE, ServedEndpoint
from testkit.aws.machine import LEARNING, run
from tests.deploy.test_state_machine import _action

TEMPLATE = LEARNING.with_name("template.yaml")
CANDIDATE, EARLIER = "s3://learned/models/one/output/model.tar.gz", "s3://learned/models/two/output/model.tar.gz"


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch, account):
    machine.fix_moto(monkeypatch, account)


@pytest.fixture
def served(account):
    return ServedEndpoint(account)


class Jobs:
    """What the platform says of jobs, look after look: statuses by kind, a trial's words, the verdict of a training."""

    def __init__(self, account, gained=1.0, trainings=(), looks=(), **said):
        self.account, self.said, self.gained = account, said, gained
        self.looks = {"trial": ["Completed"] * 2, "export": ["Completed"], "train": ["InProgress", "Completed"]}
        self.looks |= dict(looks)
        account._create_processing_job = lambda call: {"ProcessingJobArn": "arn:aws:sagemaker:us-west-2:1:p/x"}
        account._create_training_job = lambda call: {"TrainingJobArn": "arn:aws:sagemaker:us-west-2:1:t/x"}
        account._describe_processing_job = self._processing
        account._describe_training_job = lambda call: self._seen("Training", "train") | self._verdict()
        account._list_training_jobs = lambda call: {"TrainingJobSummaries": list(trainings)}

    def _processing(self, call):
        _, job, _ = call.parameters["ProcessingJobName"].rsplit("-", 2)
        message = {"ExitMessage": self.said[job]} if job in self.said else {}
        return self._seen("Processing", job) | message

    def _seen(self, kind, job):
        status = self.looks[job].pop(0)
        return {f"{kind}JobStatus": status} | ({"FailureReason": "no disk"} if status == "Failed" else {})

    def artifacts(self):
        """Where the platform puts the model of the training that was asked for last."""
        asked = self.account.asked("CreateTrainingJob")[-1]
        return f"{asked['OutputDataConfig']['S3OutputPath']}/{asked['TrainingJobName']}/output/model.tar.gz"

    def _verdict(self):
        metrics = [{"MetricName": "verdict:gained", "Value": self.gained}]
        return {"FinalMetricDataList": metrics, "ModelArtifacts": {"S3ModelArtifacts": self.artifacts()}}


def learn(account, **given):
    """A run of the schedule; `given`: what the template puts in, or an `ask` and what belongs to it."""
    asked = {name: given.pop(name) for name in ("ask", "model", "artifacts") if name in given}
    return run(account, asked, path=LEARNING, **given)


def made(account):
    """The one model that was made, as (data, environment, additional data)."""
    (model,) = account.asked("CreateModel")
    container = model["PrimaryContainer"]
    assert (container["Image"], model["ExecutionRoleArn"]) == ("registry/autopilot:serve", SERVING_ROLE)
    beside = [one["S3DataSource"]["S3Uri"] for one in container.get("AdditionalModelDataSources", [])]
    return container.get("ModelDataUrl"), container["Environment"], beside


def untouched(account):
    return account.asked("CreateModel") == [] and account.asked("UpdateEndpoint") == []


# A training, and the candidate that comes of it


def test_what_the_verdict_is_for_decides_beside_what_serves_and_that_is_told(account, served):
    jobs = Jobs(account)
    ended = learn(account)
    assert ended.status == "SUCCEEDED", ended.cause
    assert made(account) == (None, ENVIRONMENT | {"AUTOPILOT_CANDIDATE": MOUNTED}, [jobs.artifacts()])
    ((subject, message),) = ended.told
    assert subject == f"Learned {served.model()['ModelName']}"
    assert (message["answers"], message["before"]) == ("default@28db5018", "default@28db5018")
    assert "python -m autopilot_deploy promote autopilot" in message["next"]


def test_the_config_stays_as_it_is_but_for_the_model_and_an_alarm_rolls_it_back(account, served):
    Jobs(account)
    learn(account)
    (config,), (update,) = account.asked("CreateEndpointConfig"), account.asked("UpdateEndpoint")
    assert account.asked("CreateModel")[0]["Tags"] == config["Tags"]
    (variant,) = config["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.large", 2)
    assert {"Key": "gameserver-autopilot:endpoint", "Value": "autopilot"} in config["Tags"]
    assert update["RetainAllVariantProperties"] is True
    alarms = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert alarms == [{"AlarmName": "autopilot-autopilot-errors"}]


def test_training_begins_with_what_serves(account, served):
    served.serve("autopilot-studio", EARLIER)
    Jobs(account)
    learn(account)
    (training,) = account.asked("CreateTrainingJob")
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in training["InputDataConfig"]}
    assert channels["model"] == EARLIER
    data, _, beside = made(account)
    assert (data, len(beside)) == (EARLIER, 1)


def test_training_begins_with_the_built_in_model_where_that_serves(account, served):
    Jobs(account)
    learn(account)
    (training,) = account.asked("CreateTrainingJob")
    assert [one["ChannelName"] for one in training["InputDataConfig"]] == ["training"]


def test_what_was_trained_a_few_days_ago_is_not_trained_again_and_nobody_is_told(account, served):
    Jobs(account, trainings=[{"TrainingJobName": "x", "TrainingJobArn": "x", "TrainingJobStatus": "Completed"}])
    ended = learn(account)
    assert (ended.status, ended.told) == ("SUCCEEDED", [])
    assert account.asked("CreateProcessingJob") == []
    (asked,) = account.asked("ListTrainingJobs")
    assert asked["NameContains"] == "autopilot-0a1b2c3d-", "the jobs of other stacks"


def test_every_model_can_be_read_by_the_role_that_it_names(account, served):
    jobs = Jobs(account)
    learn(account)
    assert allowed("ServingRole", "s3:GetObject", jobs.artifacts())
    (export,) = account.asked("CreateProcessingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    assert not allowed("ServingRole", "s3:GetObject", f"{output['S3Output']['S3Uri']}/demand.csv")
    assert allowed("LearningRole", "s3:PutObject", jobs.artifacts())


def allowed(role, action, uri):
    """Whether the template lets a role do this to an object."""
    resources = yaml.safe_load(TEMPLATE.read_text())["Resources"]
    bucket = resources["LearningStateMachine"]["Properties"]["DefinitionSubstitutions"]["Bucket"]
    documents = [one["PolicyDocument"] for one in resources[role]["Properties"]["Policies"]] + [
        one["Properties"]["PolicyDocument"]
        for one in resources.values()
        if one["Type"] == "AWS::IAM::RolePolicy" and one["Properties"]["RoleName"] == {"Ref": role}
    ]
    granted = [one for document in documents for one in document["Statement"] if action in one["Action"]]
    return any(fnmatchcase(uri, _uri(one["Resource"], bucket)) for one in granted)


def _uri(resource, bucket):
    text, named = resource["Fn::Sub"]
    assert named == {"Bucket": bucket}, "another bucket than the machine's"
    return text.replace("arn:${AWS::Partition}:s3:::${Bucket}", f"s3://{machine.SUBSTITUTED['Bucket']}")


def test_what_expires_is_no_model(account, served):
    jobs = Jobs(account)
    learn(account)
    (export,) = account.asked("CreateProcessingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    bucket = yaml.safe_load(TEMPLATE.read_text())["Resources"]["LearningBucket"]["Properties"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    expiring = f"s3://{machine.SUBSTITUTED['Bucket']}/{rule['Prefix']}"
    assert output["S3Output"]["S3Uri"].startswith(expiring)
    assert not jobs.artifacts().startswith(expiring)


def test_before_there_is_enough_history_nothing_is_trained_and_that_is_no_failure(account, served):
    Jobs(account, export="no fleet has 2 days of history: wait, or name a longer --since\n")
    ended = learn(account)
    assert ended.status == "SUCCEEDED", ended.cause
    (export,) = account.asked("CreateProcessingJob")
    assert export["AppSpecification"]["ContainerArguments"][-2:] == ["--nothing-yet", "/opt/ml/output/message"]
    assert account.asked("CreateTrainingJob") == []
    assert untouched(account)
    ((subject, message),) = ended.told
    assert subject == "Nothing to learn from yet"
    assert message["reason"] == "no fleet has 2 days of history: wait, or name a longer --since"


def test_what_an_export_says_that_failed_does_not_count_as_nothing_yet(account, served):
    Jobs(account, looks={"export": ["Failed"] * 3}, export="no fleet has 2 days of history")
    assert [subject for subject, _ in learn(account).told] == ["FAILED to learn"]


def test_the_export_is_what_the_training_reads(account, served):
    Jobs(account)
    learn(account)
    (export,), (training,) = account.asked("CreateProcessingJob"), account.asked("CreateTrainingJob")
    (output,) = export["ProcessingOutputConfig"]["Outputs"]
    assert training["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == output["S3Output"]["S3Uri"]
    assert export["AppSpecification"]["ContainerArguments"][:2] == ["history", "export"]
    assert export["Environment"] == {"AUTOPILOT_HISTORY": "dynamodb://history"}


@pytest.mark.parametrize("verdict", [{"gained": 0.0}, {"gained": None}])
def test_where_nothing_better_was_found_nothing_changes_and_that_is_told(account, served, verdict):
    jobs = Jobs(account, **verdict)
    if verdict["gained"] is None:
        jobs._verdict = lambda: {"ModelArtifacts": {"S3ModelArtifacts": jobs.artifacts()}}
    ended = learn(account)
    assert ended.status == "SUCCEEDED", ended.cause
    assert untouched(account)
    assert [subject for subject, _ in ended.told] == ["Learned nothing better"]


# A trial of the candidate, and of what was promoted


def test_a_trial_sees_every_model_and_decides_with_the_settings_of_what_serves(account, served, monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "AUTOPILOT_SCHEDULE", "[" + " " * 300 + "]")
    served.serve("autopilot-both", EARLIER, beside=CANDIDATE, previous="built-in")
    Jobs(account, trial="wait: it is on trial")
    assert learn(account).status == "SUCCEEDED"
    (trial,) = account.asked("CreateProcessingJob")
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in trial["ProcessingInputs"]}
    assert inputs == {"served": EARLIER, "candidate": CANDIDATE}, "the built-in model is in the image"
    short = {name: value for name, value in ENVIRONMENT.items() if len(value) <= 256}
    assert trial["Environment"] == short, "a job takes no value of more than 256 characters"
    words = trial["AppSpecification"]["ContainerArguments"]
    assert words[-2:] == ["--promoted-at", "2026-11-20T04:00:00Z"]
    assert words[-6:-2] == ["--served-policy", served.policy_of(EARLIER), "--previous-policy", "default@0123abcd"]
    assert untouched(account)


def test_while_a_candidate_is_on_trial_nothing_is_trained_and_nobody_is_told(account, served):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="wait: 3 whole days are stored that it did not learn from, 7 are asked for")
    ended = learn(account)
    assert (ended.status, ended.told) == ("SUCCEEDED", [])
    assert ended.output["trial"].startswith("wait: 3 whole days")
    assert account.asked("CreateTrainingJob") == []


def test_a_candidate_whose_trial_is_over_makes_room_for_the_next(account, served):
    served.serve("autopilot-beside", beside=CANDIDATE)
    jobs = Jobs(account, trial="train: it is not promoted: its cost is 99.1 %")
    assert learn(account).status == "SUCCEEDED"
    assert made(account)[2] == [jobs.artifacts()]


def test_what_has_proven_itself_serves_by_itself_only_where_that_is_asked_for(account, served):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="promote: learned@83be1d07 costs 91.0 % of default@28db5018 over 7 days")
    ended = learn(account)
    assert untouched(account)
    ((subject, message),) = ended.told
    assert subject == "A candidate has proven itself"
    assert message["next"] == "python -m autopilot_deploy promote autopilot"

    ended = learn(account, AutoPromote="true")
    assert ended.status == "SUCCEEDED", ended.cause
    data, environment, beside = made(account)
    assert (data, beside) == (CANDIDATE, [])
    assert environment["LEARNING_PREVIOUS"] == "built-in"
    assert environment["LEARNING_PREVIOUS_POLICY"] == "default@28db5018", "which image's, nobody could say later"
    assert "AUTOPILOT_CANDIDATE" not in environment
    ((subject, message),) = ended.told
    assert subject.startswith("Promoted autopilot-")
    assert message["before"] == "default@28db5018" != message["answers"]
    assert "python -m autopilot_deploy rollback autopilot" in message["next"]


def test_what_has_lost_is_taken_back_by_itself_only_where_that_is_asked_for(account, served):
    served.serve("autopilot-lost", CANDIDATE, previous=EARLIER)
    Jobs(account, trial="take back: learned@83be1d07 costs more than what it replaced")
    ended = learn(account)
    assert untouched(account)
    assert [(subject, message["next"]) for subject, message in ended.told] == [
        ("What was promoted has lost", "python -m autopilot_deploy rollback autopilot")
    ]

    ended = learn(account, AutoPromote="true")
    assert made(account) == (EARLIER, ENVIRONMENT, [])
    assert [subject for subject, _ in ended.told] == ["Took back autopilot-lost"]


def test_an_outage_puts_a_promotion_off_in_words(account, served):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="deferred: learned@83be1d07 …; an outage is held for eu/racer: promoted when it is over")
    for given in ({"AutoPromote": "true"}, {"ask": "promote"}):
        ended = learn(account, **given)
        assert (ended.status, untouched(account)) == ("SUCCEEDED", True)
        ((subject, message),) = ended.told
        assert subject == "A promotion is put off"
        assert "an outage is held for eu/racer" in message["trial"]


# By hand


def test_one_command_promotes_whatever_the_proof(account, served):
    served.serve("autopilot-beside", EARLIER, beside=CANDIDATE)
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    ended = learn(account, ask="promote")
    assert ended.status == "SUCCEEDED", ended.cause
    (trial,) = account.asked("CreateProcessingJob")
    assert trial["AppSpecification"]["ContainerArguments"][-1] == "--asked"
    data, environment, beside = made(account)
    assert (data, environment["LEARNING_PREVIOUS"], beside) == (CANDIDATE, EARLIER, [])


@pytest.mark.parametrize(("previous", "data"), [(EARLIER, EARLIER), ("built-in", None)])
def test_one_command_goes_back_with_no_trial(account, served, previous, data):
    served.serve("autopilot-new", CANDIDATE, beside="s3://learned/models/three/output/model.tar.gz", previous=previous)
    Jobs(account)
    ended = learn(account, ask="rollback")
    assert ended.status == "SUCCEEDED", ended.cause
    assert account.asked("CreateProcessingJob") == []
    assert made(account) == (data, ENVIRONMENT, [])
    assert [subject for subject, _ in ended.told] == ["Took back autopilot-new"]


def test_what_was_taken_back_serves_again_where_it_is_asked_for_by_its_name(account, served):
    served.serve("autopilot-new", CANDIDATE, previous=EARLIER)
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    ((_, message),) = learn(account, ask="rollback").told
    assert message["next"].endswith("python -m autopilot_deploy promote autopilot --model autopilot-new")
    ended = learn(account, ask="promote", model="autopilot-new")
    assert ended.status == "SUCCEEDED", ended.cause
    (trial,) = account.asked("CreateProcessingJob")
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in trial["ProcessingInputs"]}
    assert inputs == {"served": EARLIER, "candidate": CANDIDATE}
    assert trial["AppSpecification"]["ContainerArguments"][-1] == "--asked"
    container = served.model()["PrimaryContainer"]
    assert container["ModelDataUrl"] == CANDIDATE
    assert container["Environment"]["LEARNING_PREVIOUS"] == EARLIER
    assert container["Environment"]["LEARNING_SINCE"] > "2026-11-20T04:00:00Z", "it is judged by the days from now on"
    ((subject, _),) = ended.told
    assert subject.startswith("Promoted autopilot-")


def test_a_candidate_on_trial_stays_beside_a_model_that_is_promoted_by_its_name(account, served):
    served.serve("autopilot-new", CANDIDATE)
    another = "s3://learned/models/three/output/model.tar.gz"
    served.serve("autopilot-now", EARLIER, beside=another)
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    ended = learn(account, ask="promote", model="autopilot-new")
    data, _, beside = made(account)
    assert (data, beside) == (CANDIDATE, [another])
    assert ended.told[0][0].startswith("Promoted autopilot-")


def test_what_serves_is_not_promoted_once_more(account, served):
    served.serve("autopilot-now", EARLIER)
    Jobs(account)
    ended = learn(account, ask="promote", model="autopilot-now")
    assert ended.cause == "autopilot-now has the archive that serves already"
    assert untouched(account)


def test_after_an_update_that_failed_the_message_says_how_what_was_trained_comes_beside(account, served):
    jobs = Jobs(account)
    account.script = "rolled back"
    ended = learn(account)
    assert ended.status == "FAILED"
    ((_, message),) = ended.told
    assert message["next"].endswith(f"python -m autopilot_deploy candidate autopilot {jobs.artifacts()}")


def test_an_archive_that_is_asked_for_comes_beside_what_serves_and_nothing_is_trained_for_it(account, served):
    Jobs(account)
    ended = learn(account, ask="beside", artifacts=CANDIDATE)
    assert ended.status == "SUCCEEDED", ended.cause
    assert made(account) == (None, ENVIRONMENT | {"AUTOPILOT_CANDIDATE": MOUNTED}, [CANDIDATE])
    assert account.asked("CreateTrainingJob") == account.asked("CreateProcessingJob") == []


def test_other_failures_name_no_archive(account, served):
    Jobs(account, looks={"train": ["Failed"] * 3})
    assert "next" not in learn(account).told[0][1]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [({"ask": "promote"}, "no candidate decides beside what serves"),
     ({"ask": "rollback"}, "nothing was promoted here"),
     ({"ask": "promote", "model": "autopilot-no"}, "the model that is asked for could not be read: Sage"),
     ({"ask": "promote", "model": "autopilot-model"}, "autopilot-model has no model.tar.gz: it is what the image has"),
     ({"ask": "beside"}, "artifacts are not given: say the s3:// URI of a model.tar.gz"),
     ({"ask": "dance"}, "ask is dance: say promote, rollback, beside, or nothing")],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said_and_nothing_changes(account, served, asked, problem):
    Jobs(account)
    ended = learn(account, **asked)
    assert ended.status == "FAILED"
    assert problem in ended.cause
    assert [subject for subject, _ in ended.told] == ["FAILED to learn"]
    assert untouched(account)


def test_a_candidate_that_may_not_serve_is_refused(account, served):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="refused: the candidate cannot serve: features_version 3, this version computes 4")
    ended = learn(account, ask="promote")
    assert (ended.status, untouched(account)) == ("FAILED", True)
    assert "features_version 3" in ended.cause


# What goes wrong


def test_without_an_endpoint_there_is_nothing_to_learn_for(account):
    Jobs(account)
    ended = learn(account)
    assert ended.status == "SUCCEEDED", ended.cause
    assert [(subject, message["next"]) for subject, message in ended.told] == [
        ("Nothing to learn for yet", "deploy it first")
    ]
    assert account.asked("CreateProcessingJob") == []


@pytest.mark.parametrize("script", ["rolled back", "rollback failed", "out of service"])
def test_an_update_that_alarms_roll_back_is_told_and_the_model_before_serves_on(account, served, script):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    account.script = script
    ended = learn(account, ask="promote")
    assert ended.status == "FAILED"
    assert "c-autopilot-beside is in service: the alarm autopilot-high-errors rang" in ended.cause
    assert ended.told[0][1]["problem"] == ended.cause


@pytest.mark.parametrize(
    ("policy", "problem"),
    [(lambda url: "default@28db5018", "default@28db5018 answers: before, default@28db5018"),
     (lambda url: "a stranger", "nobody answers: before, nobody")],
)  # fmt: skip
def test_a_promotion_after_which_another_does_not_answer_is_told(account, served, policy, problem):
    served.serve("autopilot-beside", beside=CANDIDATE)
    served.policy_of = policy
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    ended = learn(account, ask="promote")
    assert ended.status == "FAILED"
    assert problem in ended.cause


@pytest.mark.parametrize(
    ("case", "looks", "begun"),
    [("the trial", {"trial": ["Failed", "Failed", "Completed"]}, "trial"),
     ("the export", {"export": ["Failed", "Failed", "Completed"]}, "export"),
     ("the training", {"train": ["Failed", "Stopped", "Completed"]}, "train")],
)  # fmt: skip
def test_a_job_that_fails_is_begun_anew_under_another_name(account, served, case, looks, begun):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, looks=looks, trial="train: its trial is over")
    ended = learn(account)
    assert ended.status == "SUCCEEDED", (case, ended.cause)
    asked = account.asked("CreateProcessingJob") + account.asked("CreateTrainingJob")
    names = [value for one in asked for key, value in one.items() if key.endswith("JobName") and begun in value]
    assert [name[-2:] for name in names] == ["-1", "-2", "-3"]


@pytest.mark.parametrize(
    ("job", "problem"),
    [("trial", "the trial is Failed for the third time: no disk"),
     ("export", "the export is Failed for the third time: no disk"),
     ("train", "the train is Failed for the third time: no disk")],
)  # fmt: skip
def test_a_job_that_fails_three_times_is_told(account, served, job, problem):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, looks={job: ["Failed"] * 3}, **({} if job == "trial" else {"trial": "train: its trial is over"}))
    ended = learn(account)
    assert (ended.status, ended.cause) == ("FAILED", problem)
    ((subject, message),) = ended.told
    assert (subject, message["problem"]) == ("FAILED to learn", problem)
    assert untouched(account)


@pytest.mark.parametrize(
    "operation",
    ["DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel", "ListTrainingJobs", "CreateProcessingJob",
     "CreateTrainingJob", "InvokeEndpoint", "CreateModel", "CreateEndpointConfig", "UpdateEndpoint"],
)  # fmt: skip
def test_what_aws_refuses_is_told_in_its_words(account, served, operation):
    Jobs(account)
    account.failing[operation] = [("AccessDeniedException", "not you")]
    ended = learn(account)
    assert ended.status == "FAILED"
    assert "not you" in ended.told[0][1]["problem"]


@pytest.mark.parametrize("status", ["Updating", "RollingBack"])
def test_while_the_endpoint_changes_nothing_is_begun(account, served, status):
    Jobs(account)
    account._describe_endpoint = lambda call: {"EndpointStatus": status, "EndpointConfigName": "autopilot-first"}
    ended = learn(account)
    assert ended.cause == f"the endpoint is {status}: start this again when it is in service"
    assert account.asked("CreateProcessingJob") == []


def test_a_return_needs_no_answer_of_what_serves_and_no_alarm_of_its_errors_ends_it(account, served):
    served.serve("autopilot-broken", CANDIDATE, previous=EARLIER)
    account.failing["InvokeEndpoint"] = [("ModelError", "Received server error (500) from primary")]
    ended = learn(account, ask="rollback")
    assert ended.status == "SUCCEEDED", ended.cause
    assert made(account) == (EARLIER, ENVIRONMENT, [])
    (update,) = account.asked("UpdateEndpoint")
    assert "AutoRollbackConfiguration" not in update["DeploymentConfig"]
    ((subject, message),) = ended.told
    assert (subject, message["before"]) == ("Took back autopilot-broken", "nobody")


@pytest.mark.parametrize("ask", ["promote", "learn"])
def test_nothing_new_is_put_where_nobody_answers(account, served, ask):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="promote: learned@83be1d07 was asked for" if ask == "promote" else "train: its trial is over")
    account.failing["InvokeEndpoint"] = [("ModelError", "Received server error (500) from primary")] * 2
    ended = learn(account, ask=ask)
    assert (ended.status, untouched(account)) == ("FAILED", True)
    assert "the endpoint does not answer" in ended.cause


@pytest.mark.parametrize("trial", ["promote: it has proven itself", "take back: it has lost"])
def test_what_was_deployed_during_a_trial_is_left_as_it_is(account, served, trial):
    served.serve("autopilot-both", CANDIDATE, beside="s3://learned/models/three/output/model.tar.gz", previous=EARLIER)
    Jobs(account, trial=trial)
    look = account._describe_processing_job

    def meanwhile(call):
        served.serve("autopilot-by-hand", "s3://studio/by-hand/model.tar.gz")
        return look(call)

    account._describe_processing_job = meanwhile
    ended = learn(account, AutoPromote="true")
    assert (ended.status, untouched(account)) == ("FAILED", True)
    assert "c-autopilot-by-hand, and was looked at with c-autopilot-both; it was left as it is" in ended.cause
    assert served.endpoint()["EndpointConfigName"] == "c-autopilot-by-hand"


def test_every_state_is_reached_from_the_start():
    text = LEARNING.read_text()
    states = [name for name in json.loads(text)["States"] if name != "Name the run"]
    assert [name for name in states if f'"Next": "{name}"' not in text and f'"Default": "{name}"' not in text] == []


def test_every_call_is_retried_and_caught_and_is_one_that_aws_has():
    for name, state in json.loads(LEARNING.read_text())["States"].items():
        if state["Type"] != "Task":
            continue
        assert {"Retry", "Catch"} <= state.keys(), name
        service, action = _action(state["Resource"])
        model = operation(service, action)
        if isinstance(state["Arguments"], dict):
            assert set(state["Arguments"]) <= set(model.input_shape.members), name
            assert set(model.input_shape.required_members) <= set(state["Arguments"]), name


def test_an_execution_of_the_longest_jobs_fits_the_events_that_it_may_have():
    states = json.loads(LEARNING.read_text())["States"]
    events = 9  # a wait, a task and a choice, entered and left, and the task's call
    longest = sum(
        3
        * states[name]["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"]
        / states[f"Wait for the {job}"]["Seconds"]
        for name, job in (("Trial", "trial"), ("Export", "export"), ("Train", "train"))
    )
    assert longest * events < 25_000 - 2_000


# The command line


@pytest.fixture
def stack(account, served):
    """The machine, under the name by which the command line finds it; a look at an execution waits for its end."""
    client = boto3.client("stepfunctions", region_name=REGION)
    client.create_state_machine(
        name="autopilot-learning", definition=machine.definition(LEARNING), roleArn=machine.ROLE
    )
    account._publish = lambda call: {}
    account._start_execution = lambda call: machine.start(account, client, call.parameters)
    account._describe_execution = lambda call: machine.ended(client, call.parameters["executionArn"])


def test_the_command_line_promotes_and_says_who_answers_now(cli, account, served, stack):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    result = cli("promote", "autopilot")
    assert result.exit_code == 0, result.output
    assert f"{served.policy_of(CANDIDATE)} answers now, default@28db5018 did before" in result.stdout
    assert "to undo it: python -m autopilot_deploy rollback autopilot" in result.stdout


def test_the_command_line_goes_back(cli, account, served, stack):
    served.serve("autopilot-new", CANDIDATE, previous="built-in")
    result = cli("rollback", "autopilot")
    assert result.exit_code == 0, result.output
    assert f"default@28db5018 answers now, {served.policy_of(CANDIDATE)} did before" in result.stdout


def test_the_command_line_takes_up_what_was_rolled_back_by_a_name_that_status_shows(cli, account, served, stack):
    served.serve("autopilot-new", CANDIDATE, previous="built-in")
    Jobs(account, trial="promote: learned@83be1d07 was asked for")
    learn(account, ask="rollback")
    assert "  model     autopilot-new\n" in cli("status", "autopilot").stdout
    result = cli("promote", "autopilot", "--model", "autopilot-new")
    assert result.exit_code == 0, result.output
    assert f"{served.policy_of(CANDIDATE)} answers now, default@28db5018 did before" in result.stdout


def test_the_command_line_puts_an_archive_beside_what_serves(cli, account, served, stack):
    Jobs(account)
    result = cli("candidate", "autopilot", CANDIDATE)
    assert result.exit_code == 0, result.output
    assert "it decides beside what serves, and nobody gets its answer" in result.stdout
    assert made(account)[2] == [CANDIDATE]
    refused = cli("candidate", "autopilot", "model.tar.gz")
    assert (refused.exit_code, "ARCHIVE is an s3:// URI" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("trial", "code", "said"),
    [("deferred: an outage is held for eu/racer", 3, "not now: deferred: an outage"),
     ("refused: features_version 3", 1, "promote: not promoted: refused: features_version 3")],
)  # fmt: skip
def test_what_is_put_off_or_refused_has_an_exit_code_of_its_own(cli, account, served, stack, trial, code, said):
    served.serve("autopilot-beside", beside=CANDIDATE)
    Jobs(account, trial=trial)
    result = cli("promote", "autopilot")
    assert result.exit_code == code
    assert said in result.stderr
    assert untouched(account)


@pytest.mark.parametrize("ask", ["promote", "rollback"])
def test_without_an_endpoint_nothing_is_promoted_and_nothing_goes_back(cli, account, served, stack, ask):
    served.make("DeleteEndpoint", EndpointName="autopilot")
    result = cli(ask, "autopilot")
    assert result.exit_code == 1
    assert 'Could not find endpoint "autopilot"' in result.stderr


def test_when_the_time_is_over_nobody_is_told_to_ask_again_for_that_would_begin_a_second_execution(
    cli, account, served, stack
):
    account._describe_execution = lambda call: {"status": "RUNNING"}
    result = cli("rollback", "autopilot")
    assert result.exit_code == 3
    assert "describe-execution --execution-arn arn:aws:states:" in result.stderr
    assert "run the same command again" not in result.stderr


def test_without_the_stack_the_way_to_serve_another_model_is_named(cli, account, served):
    result = cli("promote", "autopilot")
    assert result.exit_code == 1
    assert "deploy PAYLOAD --model-data" in result.stderr
