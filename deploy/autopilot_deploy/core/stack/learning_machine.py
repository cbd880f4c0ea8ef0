"""The state machine that learns by the clock: a trial of what is there, an export, a training, a promotion.

Each job is tried again, every end but an uneventful one is told to the topic. Started by hand with {"ask": "promote"}
(of another model than the candidate: and "model", its name at SageMaker), {"ask": "rollback"}, or {"ask": "beside"} and
"artifacts", the archive of a model, it does that alone.
"""

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.stack import serving
from autopilot_deploy.core.stack.jsonata import merged, query
from autopilot_deploy.core.stack.serving import BUILT_IN, FAILURE, failing, problem, wished
from autopilot_deploy.core.stack.states import State, call, choice

FAILED = "LearningFailed"
EXPORTS, MODELS = "exports", "models"
"""Prefixes in the bucket: what passes, and what may be serving for years."""
_ATTEMPTS, _POLL_SECONDS, _LONGEST_TRAINING, _LONGEST_JOB = 3, 60, 6 * 3600, 3 * 3600
_GAINED = "verdict:gained"
_TABLE = "dynamodb://${HistoryTable}"
_INPUT, _OUTPUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
_LONGEST_VALUE = 256
"""Characters of a processing job's environment variable; a model's may be longer."""
_MESSAGE = "/opt/ml/output/message"
"""What a processing job writes here is the ExitMessage of its description."""
_EXPORT = f"'s3://${{Bucket}}/{EXPORTS}/' & $run & '/training'"
_AUTO = "'${AutoPromote}' = 'true'"
_ARCHIVE = "$states.result.PrimaryContainer.ModelDataUrl"
_BEFORE_TRIAL = "Ask whom the trial judges"


def learning_machine() -> State:
    """The definition, in Amazon States Language."""
    return {
        "Comment": "Learns from the fleets' history: a trial of the candidate and of what was promoted, an export, a "
        "training, and a candidate beside what serves where the training's own verdict is for it. Each job is tried "
        "again. It promotes and takes back where AutoPromote says so, or who starts it with an ask.",
        "QueryLanguage": "JSONata",
        "TimeoutSeconds": _ATTEMPTS * (2 * _LONGEST_JOB + _LONGEST_TRAINING) + 2 * 3600,
        "StartAt": "Name the run",
        "States": _begin()
        | serving.looking()
        | _decide()
        | _job("trial", "ProcessingJob", _trial(), "What came of the trial?")
        | _judged()
        | _job("export", "ProcessingJob", _export(), "Is there anything?")
        | _job("train", "TrainingJob", _train(), "Is it better?")
        | _learned()
        | _wishes()
        | serving.switching()
        | _end(),
    }


def _begin() -> dict[str, State]:
    digits = "$substring($replace($states.context.Execution.StartTime, /[^0-9]/, ''), 0, 14)"
    assigned = {
        "run": query(f"'autopilot-${{StackNumber}}-' & {digits}"),
        "model": query(f"'${{EndpointName}}-' & $substring({digits}, 0, 12)"),
        "config": query(f"'${{EndpointName}}-' & {digits}"),
        "ask": query("$exists($states.input.ask) ? $string($states.input.ask) : 'learn'"),
        "try": 1,
        "said": "",
        "asked": query(_given("model")),
        "artifacts": query(_given("artifacts")),
        "beside": "",
        "problem": "",
    }
    return {"Name the run": {"Type": "Pass", "Assign": assigned, "Output": {}, "Next": serving.LOOK}}


def _given(name: str) -> str:
    """A text of the execution's input; empty where it has none."""
    return f"$exists($states.input.{name}) ? $string($states.input.{name}) : ''"


def _decide() -> dict[str, State]:
    """By what was asked for; `learn` where nothing was, `beside` once a training has found something better."""
    refused = problem(
        "$ask = 'rollback' ? 'nothing was promoted here: there is nothing to go back to' : "
        "$ask = 'promote' ? 'no candidate decides beside what serves: there is nothing to promote' : "
        "$ask = 'beside' ? 'artifacts are not given: say the s3:// URI of a model.tar.gz' : "
        "'ask is ' & $ask & ': say promote, rollback, beside, or nothing'"
    )
    unfit = problem(
        "$asked & ($candidate = '' ? ' has no model.tar.gz: it is what the image has built in, and `deploy` serves it' "
        ": ' has the archive that serves already')"
    )
    return {
        serving.DECIDE: choice(
            ("$ask = 'beside' and $artifacts != ''", "Put the candidate beside"),
            ("$ask = 'rollback' and $previous != ''", "Take back"),
            ("$ask = 'promote' and $asked != ''", "Look at the named model", {"beside": query("$candidate")}),
            ("$ask = 'promote' and $candidate != ''", _BEFORE_TRIAL),
            ("$ask = 'learn' and ($candidate != '' or $previous != '')", _BEFORE_TRIAL),
            ("$ask = 'learn'", "Look for the last training"),
            default=FAILURE, Assign=refused,
        ),
        "Look at the named model": call(
            "sagemaker:describeModel", {"ModelName": query("$asked")},
            Assign={"candidate": query(f"$exists({_ARCHIVE}) ? {_ARCHIVE} : ''")},
            Output={}, Catch=failing("the model that is asked for could not be read"), Next="Can it be promoted?",
        ),
        "Can it be promoted?": choice(
            ("$not($candidate in ['', $served])", _BEFORE_TRIAL), default=FAILURE, Assign=unfit
        ),
        _BEFORE_TRIAL: serving.asked_who_answers("who", "Trial"),
        "Look for the last training": call(
            "sagemaker:listTrainingJobs",
            {"NameContains": "autopilot-${StackNumber}-", "StatusEquals": "Completed", "MaxResults": 1,
             "CreationTimeAfter": query(
                 "$fromMillis($toMillis($states.context.Execution.StartTime) - 86400000 * (${TrainEveryDays} - 0.5))")},
            Assign={"trained": query("$exists($states.result.TrainingJobSummaries[0])")},
            Output={}, Catch=failing("earlier trainings could not be looked for"), Next="Is it time to train?",
        ),
        "Is it time to train?": choice(("$trained", "Nothing new"), default="Export"),
        "Nothing new": {
            "Type": "Succeed",
            "Output": {"run": query("$run"), "trial": query("$said"), "next": "nothing: the schedule asks again"},
        },
    }  # fmt: skip


def _name(job: str) -> str:
    return query(f"$run & '-{job}-' & $string($try)")


def _processing(job: str, arguments: object, **more: object) -> Json:
    return {
        "ProcessingJobName": _name(job),
        "RoleArn": "${LearningRoleArn}",
        "AppSpecification": {"ImageUri": "${LearningImageUri}", "ContainerArguments": arguments},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST_JOB},
        **more,
    }


def _trial() -> Json:
    """What is there, against the history. It decides with the settings of what serves."""
    words = ["trial", "--models", _INPUT, "--days", "${ProofDays}", "--answer", _MESSAGE]
    listed = ", ".join(f"'{one}'" for one in words)
    policies = ", ".join(
        f"'--{name}-policy', ${variable} in ['', '{serving.NOBODY}'] ? '-' : ${variable}"
        for name, variable in (("served", "who"), ("previous", "previousPolicy"))
    )
    arguments = f"[{listed}, {policies}, '--promoted-at', $since = '' ? '-' : $since, $ask = 'promote' ? '--asked']"
    inputs = ", ".join(
        f"$contains(${name}, 's3://') ? {{'InputName': '{name}', 'S3Input': {{'S3Uri': ${name}, "
        f"'LocalPath': '{_INPUT}/{name}', 'S3DataType': 'S3Prefix', 'S3InputMode': 'File'}}}}"
        for name in ("served", "candidate", "previous")
    )
    short = f"$sift($environment, function($x) {{ $length($x) <= {_LONGEST_VALUE} }})"
    environment = query(merged(short, f"{{'AUTOPILOT_HISTORY': '{_TABLE}'}}"))
    return _processing("trial", query(arguments), Environment=environment, ProcessingInputs=query(f"[{inputs}]"))


def _export() -> Json:
    arguments = ["history", "export", "--since", "14d", "--out", _OUTPUT, "--nothing-yet", _MESSAGE]
    output = {"S3Uri": query(_EXPORT), "LocalPath": _OUTPUT, "S3UploadMode": "EndOfJob"}
    return _processing(
        "export", arguments, Environment={"AUTOPILOT_HISTORY": _TABLE},
        ProcessingOutputConfig={"Outputs": [{"OutputName": "training", "S3Output": output}]},
    )  # fmt: skip


def _train() -> Json:
    """From what serves: its archive is the job's `model` channel."""
    served = f"$served != '{BUILT_IN}' ? {_channel('model', '$served')}"
    inputs = f"[{_channel('training', _EXPORT)}, {served}]"
    return {
        "TrainingJobName": _name("train"),
        "RoleArn": "${LearningRoleArn}",
        "AlgorithmSpecification": {
            "TrainingImage": "${LearningImageUri}",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": _GAINED, "Regex": "verdict .*gained=([0-9.]+);"}],
        },
        "HyperParameters": {"name": "learned"},
        "InputDataConfig": query(inputs),
        "OutputDataConfig": {"S3OutputPath": query(f"'s3://${{Bucket}}/{MODELS}/' & $run")},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST_TRAINING},
    }


def _channel(name: str, uri: str) -> str:
    source = f"{{'S3DataSource': {{'S3DataType': 'S3Prefix', 'S3Uri': {uri}}}}}"
    return f"{{'ChannelName': '{name}', 'DataSource': {source}}}"


def _job(verb: str, kind: str, arguments: Json, following: str) -> dict[str, State]:
    """Start a job, look until it has ended, and start it anew where it failed, three times in all."""
    begin, wait, look = verb.capitalize(), f"Wait for the {verb}", f"Look at the {verb}"
    ended, again = f"Has the {verb} ended?", f"Begin the {verb} anew"
    reason = "$states.result.FailureReason"
    seen = {"status": query(f"$states.result.{kind}Status"), "reason": query(f"$exists({reason}) ? {reason} : ''")}
    return {
        begin: call(
            f"sagemaker:create{kind}", arguments, Output={}, Catch=failing(f"the {verb} could not begin"), Next=wait
        ),
        wait: {"Type": "Wait", "Seconds": _POLL_SECONDS, "Next": look},
        look: call(
            f"sagemaker:describe{kind}",
            {f"{kind}Name": _name(verb)},
            Assign=seen | _found(kind),
            Output={},
            Catch=failing(f"the {verb} could not be looked at"),
            Next=ended,
        ),
        ended: choice(
            ("$status = 'Completed'", following, {"try": 1}),
            ("$status in ['InProgress', 'Stopping']", wait),
            (f"$try < {_ATTEMPTS}", again),
            default=FAILURE,
            Assign=problem(f"'the {verb} is ' & $status & ' for the third time: ' & $reason"),
        ),
        again: {"Type": "Pass", "Assign": {"try": query("$try + 1")}, "Output": {}, "Next": begin},
    }


def _found(kind: str) -> State:
    """What a job that has ended says of its result."""
    if kind == "ProcessingJob":
        return {"said": query("$exists($states.result.ExitMessage) ? $trim($states.result.ExitMessage) : ''")}
    gained = f"$sum([$states.result.FinalMetricDataList[MetricName = '{_GAINED}'].Value]) > 0.5"
    artifacts = "$exists($states.result.ModelArtifacts) ? $states.result.ModelArtifacts.S3ModelArtifacts : ''"
    return {"gained": query(gained), "artifacts": query(artifacts)}


def _judged() -> dict[str, State]:
    """What a trial came to is done where it may be, else told with the one command that does it."""
    outcome = "$substringBefore($said, ':')"
    may = f"({_AUTO} or $ask = 'promote')"
    unclear = problem("'not promoted: ' & $said")
    return {
        "What came of the trial?": choice(
            (f"{outcome} = 'promote' and {may}", "Promote"),
            (f"{outcome} = 'promote'", "Tell that it has proven itself"),
            (f"{outcome} = 'take back' and {_AUTO}", "Take back"),
            (f"{outcome} = 'take back'", "Tell that it has lost"),
            (f"{outcome} = 'deferred'", "Tell that it is put off"),
            (f"{outcome} = 'wait'", "Nothing new"),
            (f"{outcome} = 'train'", "Look for the last training"),
            default=FAILURE, Assign=unclear,
        ),
        "Tell that it has proven itself": _told("'A candidate has proven itself'", _by_hand("promote")),
        "Tell that it has lost": _told("'What was promoted has lost'", _by_hand("rollback")),
        "Tell that it is put off": _told("'A promotion is put off'", _by_hand("promote")),
    }  # fmt: skip


def _by_hand(ask: str) -> str:
    command = f"python -m autopilot_deploy {ask} ${{EndpointName}}"
    return f"{{'run': $run, 'trial': $said, 'serves': $serving, 'next': '{command}'}}"


def _learned() -> dict[str, State]:
    kept = "{'run': $run, 'artifacts': $artifacts, 'next': 'nothing: what serves is as good'}"
    none = "{'run': $run, 'reason': $said, 'next': 'nothing: the schedule asks again'}"
    return {
        "Is there anything?": choice(("$said = ''", "Train"), default="Tell that there is nothing yet"),
        "Tell that there is nothing yet": _told("'Nothing to learn from yet'", none),
        "Is it better?": choice(
            ("$gained", serving.LOOK, {"ask": "beside"}),
            default="Tell that nothing is better",
            Comment="The endpoint is looked at anew: a training takes a while, and people deploy meanwhile.",
        ),
        "Tell that nothing is better": _told("'Learned nothing better'", kept),
    }


def _wishes() -> dict[str, State]:
    here = "$states.context.State.EnteredTime"
    return {
        "Put the candidate beside": wished(
            "c", changes=False, served="$served", candidate="$artifacts", previous="$previous", since="$since"
        ),
        "Promote": wished(
            "p", changes=True, served="$candidate", previous="$served", since=here,
            candidate="$beside = $candidate ? '' : $beside",
        ),
        "Take back": wished("r", changes=True, served="$previous"),
    }  # fmt: skip


def _end() -> dict[str, State]:
    facts = "'run': $run, 'model': $name, 'answers': $after, 'before': $before, 'trial': $said"
    back = "'next': 'to undo it: python -m autopilot_deploy rollback ${EndpointName}'"
    beside = (
        f"{{{facts}, 'artifacts': $artifacts, 'next': 'it decides beside what serves, and nobody gets its answer; it "
        "is judged every day, and to let it serve now: python -m autopilot_deploy promote ${EndpointName}'}"
    )
    nothing = "{'run': $run, 'reason': 'there is no endpoint ${EndpointName}', 'next': 'deploy it first'}"
    again = "python -m autopilot_deploy candidate ${EndpointName} "
    trained = f"{{'next': 'to put beside what serves what was trained: {again}' & $artifacts}}"
    failed = merged("{'run': $run, 'problem': $problem}", f"$ask = 'beside' and $artifacts != '' ? {trained} : {{}}")
    forward = "to let what was taken back serve again: python -m autopilot_deploy promote ${EndpointName} --model "
    lost = f"{{{facts}, 'next': '{forward}' & $serving}}"
    return {
        serving.SWITCHED: choice(
            ("$back", "Tell of the return"),
            ("$changes", "Tell of the promotion"),
            default="Tell of the candidate",
        ),
        "Tell of the candidate": _told("'Learned ' & $name", beside),
        "Tell of the promotion": _told("'Promoted ' & $name", f"{{{facts}, {back}}}"),
        "Tell of the return": _told("'Took back ' & $serving", lost),
        "Tell that nothing serves": _told("'Nothing to learn for yet'", nothing),
        "Learned": {"Type": "Succeed"},
        FAILURE: _told("'FAILED to learn'", failed, "Not learned"),
        "Not learned": {"Type": "Fail", "Error": FAILED, "Cause": query("$problem")},
    }


def _told(subject: str, message: str, following: str = "Learned") -> State:
    """Tell the topic; the message is the output of the execution, too."""
    arguments = {"TopicArn": "${TopicArn}", "Subject": query(subject), "Message": query(f"$string({message})")}
    output = query(f"$merge([{{'said': {subject}}}, {message}])")
    caught = [{"ErrorEquals": ["States.ALL"], "Output": output, "Next": following}]
    return call("sns:publish", arguments, Output=output, Catch=caught, Next=following)
